// Signs somebody up with Hexclave's own JavaScript client, and prints their access token.
const { StackClientApp } = require("@stackframe/js");

async function main() {
  // Project and address come from the environment, as in an application.
  const app = new StackClientApp({ tokenStore: "memory", redirectMethod: "none", analytics: { enabled: false } });
  const [email, password] = ["sam@example.com", "correct horse"];
  await app.signUpWithCredential({ email, password, noRedirect: true, noVerificationCallback: true });
  const user = await app.getUser();
  await user.setDisplayName("Sam");
  const { accessToken } = await (await app.getUser()).getAuthJson();
  process.stdout.write(accessToken, () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
