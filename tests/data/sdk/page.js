// A page without a framework: the tests call the SDK by its name in the console.
import { StackClientApp } from "@stackframe/js";

window.openApp = (settings) => new StackClientApp({ ...settings, tokenStore: "cookie", redirectMethod: "none" });
