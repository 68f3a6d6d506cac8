// A page that stays open while its Hexclave is restarted: signs up, waits for a line, and goes on with what it has.
const { StackClientApp } = require("@stackframe/js");
const { createInterface } = require("node:readline/promises");

async function main() {
  const app = new StackClientApp({ tokenStore: "memory", redirectMethod: "none", analytics: { enabled: false } });
  const ada = { email: "ada@example.com", password: "correct horse", noVerificationCallback: true, noRedirect: true };
  await app.signUpWithCredential(ada);
  const user = await app.getUser();
  const before = await user.getAuthJson();
  await user.setDisplayName("Ada"); // after a change the SDK renews the access token
  console.log(JSON.stringify({ id: user.id, ...before }));
  for await (const line of createInterface({ input: process.stdin })) {
    const found = await app.getUser();
    await found.update({ clientMetadata: { line } });
    const fresh = await app.getUser();
    const { accessToken } = await fresh.getAuthJson();
    const told = { id: fresh.id, name: fresh.displayName, clientMetadata: fresh.clientMetadata, accessToken };
    console.log(JSON.stringify(told));
    break;
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
