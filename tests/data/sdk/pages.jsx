// An application with the SDK's own pages for sign-up, sign-in and account settings, and a page of its own.
import { StackClientApp, StackHandler, StackProvider, StackTheme, useUser } from "@stackframe/react";
import { Suspense } from "react";
import { createRoot } from "react-dom/client";

const app = new StackClientApp({
  ...window.settings,
  tokenStore: "cookie",
  redirectMethod: "window",
  urls: { default: { type: "handler-component" } },
});

function Home() {
  const user = useUser();
  return <h1>{user ? `Hello ${user.displayName ?? user.primaryEmail}` : "Nobody is signed in"}</h1>;
}

createRoot(document.getElementById("root")).render(
  <Suspense fallback="Loading">
    <StackProvider app={app}>
      <StackTheme>{location.pathname.startsWith("/handler/") ? <StackHandler fullPage /> : <Home />}</StackTheme>
    </StackProvider>
  </Suspense>,
);
