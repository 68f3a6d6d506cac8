// What a backend in JavaScript does with Hexclave's own server client. Prints an object: what each step gave.
const { StackServerApp } = require("@stackframe/js");

const url = process.env.HEXCLAVE_API_URL;
const callback = "http://localhost:3000/handler/page";
const told = {};

const ids = (items) => items.map((item) => item.id);
const refusal = async (asked) => {
  try {
    return await asked;
  } catch (error) {
    return error.errorCode ?? String(error);
  }
};
// What the page's form for grants does: here, no Python defines permissions.
const define = async (user, permission, team) => {
  const headers = { origin: url, "content-type": "application/json" };
  const body = (more) => JSON.stringify({ user: user.id, permission, ...more });
  for (const action of ["grant", "revoke"]) {
    const more = team ? { team: team.id } : {};
    const answer = await fetch(`${url}/_sandbox/do/${action}`, { method: "POST", headers, body: body(more) });
    if (!answer.ok) throw new Error(await answer.text());
  }
};

async function main() {
  // Project, address and secret key come from the environment.
  const app = new StackServerApp({ tokenStore: null, analytics: { enabled: false } });
  told.project = (await app.getProject()).id;

  const ada = await app.createUser({
    primaryEmail: "ada@example.com",
    primaryEmailVerified: true,
    primaryEmailAuthEnabled: true,
    password: "correct horse",
    displayName: "Ada",
    clientMetadata: { theme: "dark" },
    clientReadOnlyMetadata: { plan: "pro" },
    serverMetadata: { notes: ["first"] },
  });
  const again = { primaryEmail: "ada@example.com", primaryEmailAuthEnabled: true };
  told.taken = await refusal(app.createUser(again));
  const bob = await app.createUser({ primaryEmail: "bob@example.com", displayName: "Bob" });
  const found = await app.getUser(ada.id);
  told.user = [found.displayName, found.primaryEmail, found.primaryEmailVerified, found.hasPassword];
  told.metadata = [found.clientMetadata, found.clientReadOnlyMetadata, found.serverMetadata];
  told.noUser = await app.getUser("11111111-1111-4111-8111-111111111111");
  const page = await app.listUsers({ limit: 1, orderBy: "signedUpAt" });
  told.page = [page.map((user) => user.displayName), page.nextCursor === bob.id];
  const rest = await app.listUsers({ limit: 1, orderBy: "signedUpAt", cursor: page.nextCursor });
  told.rest = [rest.map((user) => user.displayName), rest.nextCursor];
  told.query = (await app.listUsers({ query: "bob" })).map((user) => user.displayName);

  await ada.update({ displayName: "Ada Lovelace", serverMetadata: { notes: [] } });
  await ada.setClientReadOnlyMetadata({ plan: "free" });
  const updated = await app.getUser(ada.id);
  told.updated = [updated.displayName, updated.clientReadOnlyMetadata, updated.serverMetadata, updated.clientMetadata];
  await bob.update({ restrictedByAdmin: true, restrictedByAdminReason: "spam" });
  const restricted = await app.getUser(bob.id);
  told.restricted = [restricted.isRestricted, restricted.restrictedReason, restricted.restrictedByAdminReason];
  told.unrestrictedOnly = (await app.listUsers({})).map((user) => user.displayName);
  await bob.update({ restrictedByAdmin: false, restrictedByAdminReason: null });
  told.lifted = (await app.getUser(bob.id)).isRestricted;

  const team = await app.createTeam({ displayName: "Engines", creatorUserId: ada.id });
  await team.update({ serverMetadata: { seats: 3 } });
  told.team = await app.getTeam(team.id).then((one) => [one.displayName, one.serverMetadata]);
  told.noTeam = await app.getTeam("11111111-1111-4111-8111-111111111111");
  await team.addUser(bob.id);
  told.twice = await refusal(team.addUser(bob.id));
  told.members = (await team.listUsers()).map((user) => [user.displayName, user.teamProfile.displayName]);
  told.teams = [(await app.listTeams()).length, (await bob.listTeams()).map((one) => one.displayName)];

  told.undefinedPermission = await refusal(bob.grantPermission(team, "zoom"));
  await define(bob, "export_reports", team);
  await bob.grantPermission(team, "export_reports");
  told.granted = [await bob.hasPermission(team, "export_reports"), ids(await bob.listPermissions(team))];
  await bob.revokePermission(team, "export_reports");
  told.revoked = await bob.hasPermission(team, "export_reports");
  await define(bob, "admin");
  await bob.grantPermission("admin");
  told.projectGranted = [await bob.hasPermission("admin"), ids(await bob.listPermissions())];
  await bob.revokePermission("admin");
  told.projectRevoked = await bob.hasPermission("admin");

  await team.inviteUser({ email: "carol@example.com", callbackUrl: callback });
  const [invitation] = await team.listInvitations();
  told.invitation = [invitation.recipientEmail, invitation.expiresAt > new Date()];
  await invitation.revoke();
  told.invitationsLeft = (await team.listInvitations()).length;
  await team.removeUser(bob.id);
  told.removed = await bob.getTeam(team.id);

  const credits = await ada.getItem("credits");
  told.item = [credits.displayName, credits.quantity, credits.nonNegativeQuantity];
  await credits.increaseQuantity(5);
  told.spent = [await credits.tryDecreaseQuantity(3), await credits.tryDecreaseQuantity(3)];
  told.balance = (await ada.getItem("credits")).quantity;
  await credits.decreaseQuantity(10);
  told.overdrawn = await ada.getItem("credits").then((item) => [item.quantity, item.nonNegativeQuantity]);
  const seats = await team.getItem("seats");
  await seats.increaseQuantity(2);
  told.teamBalance = (await team.getItem("seats")).quantity;
  const calls = { itemId: "calls", customCustomerId: "acme" };
  await (await app.getItem(calls)).increaseQuantity(7);
  told.customBalance = (await app.getItem(calls)).quantity;

  const vault = await app.getDataVaultStore("secrets");
  const secret = { secret: "a secret of the application" };
  told.vaultEmpty = await vault.getValue("token", secret);
  await vault.setValue("token", "größer", secret);
  told.vault = await vault.getValue("token", secret);
  told.vaultOtherSecret = await vault.getValue("token", { secret: "another" });

  const key = await ada.createApiKey({ description: "robot", expiresAt: new Date(Date.now() + 3600_000) });
  const userOf = async (apiKey) => (await app.getUser({ apiKey }))?.id ?? null;
  told.keyOfAda = (await userOf(key.value)) === ada.id;
  await key.revoke();
  told.keyRevoked = await userOf(key.value);
  const teamKey = await team.createApiKey({ description: "deploy", expiresAt: null });
  told.keyOfTeam = (await app.getTeam({ apiKey: teamKey.value }))?.id === team.id;
  told.teamKeys = (await team.listApiKeys()).map((one) => one.description);

  const session = await ada.createSession({ expiresInMillis: 3600_000 });
  const tokens = await session.getTokens();
  told.session = [typeof tokens.accessToken, (await ada.getActiveSessions()).length];

  await app.sendEmail({ userIds: [ada.id], subject: "Hello", html: "<p>Hello</p>" });
  const mail = (await (await fetch(`${url}/_sandbox/emails`)).json()).items.at(-1);
  told.email = [mail.to, mail.kind, mail.subject];

  await team.delete();
  told.teamDeleted = await app.getTeam(team.id);
  await ada.delete();
  told.userDeleted = [await app.getUser(ada.id), (await app.listUsers()).map((user) => user.displayName)];
}

main().then(
  () => {
    console.log(JSON.stringify(told));
    process.exit(0); // the SDK may have a timer of its own
  },
  (error) => {
    console.log(JSON.stringify(told));
    console.error(error);
    process.exit(1);
  },
);
