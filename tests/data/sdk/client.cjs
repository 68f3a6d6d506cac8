// What a signed-in user does with Hexclave's own client. Prints an object: what each step gave.
const { StackClientApp } = require("@stackframe/js");

const url = process.env.HEXCLAVE_API_URL;
const callback = "http://localhost:3000/handler/page";
const told = {};

// The project and its address come from the environment, as in an application.
const open = (tokenStore = "memory") =>
  new StackClientApp({ tokenStore, redirectMethod: "none", analytics: { enabled: false } });
const emails = async () => (await (await fetch(`${url}/_sandbox/emails`)).json()).items;
const outcome = (result) => (result.status === "ok" ? "ok" : result.error.errorCode);
const ids = (items) => items.map((item) => item.id);
const silent = { noRedirect: true };

async function main() {
  const app = open();
  const project = await app.getProject();
  told.project = { id: project.id, ...project.config };
  told.nobody = await app.getUser();

  const ada = { email: "Ada@Example.com", password: "correct horse" };
  told.signUp = outcome(await app.signUpWithCredential({ ...ada, ...silent, verificationCallbackUrl: callback }));
  let user = await app.getUser();
  told.user = Object.fromEntries(
    ["primaryEmail", "primaryEmailVerified", "displayName", "profileImageUrl", "hasPassword", "otpAuthEnabled"]
      .concat(["isAnonymous", "isRestricted", "restrictedReason", "clientMetadata", "clientReadOnlyMetadata"])
      .map((name) => [name, user[name]]),
  );
  told.id = user.id;
  const auth = await user.getAuthJson();
  told.accessToken = auth.accessToken;
  told.refreshToken = typeof auth.refreshToken;

  told.taken = outcome(await open().signUpWithCredential({ ...ada, ...silent, noVerificationCallback: true }));
  const short = { email: "short@example.com", password: "short", noVerificationCallback: true };
  told.short = outcome(await open().signUpWithCredential({ ...short, ...silent }));
  told.wrongPassword = outcome(await open().signInWithCredential({ ...ada, password: "wrong horse", ...silent }));
  told.unknown = outcome(await open().signInWithCredential({ ...ada, email: "bob@example.com", ...silent }));
  const other = open();
  told.signIn = outcome(await other.signInWithCredential({ ...ada, ...silent }));
  const otherTokens = await (await other.getUser()).getAuthJson();

  const verification = (await emails()).at(-1);
  told.verification = [verification.kind, verification.to, new URL(verification.link).pathname];
  told.verified = outcome(await app.verifyEmail(verification.code));
  told.verifiedTwice = outcome(await app.verifyEmail(verification.code));
  const channels = await user.listContactChannels();
  told.channels = channels.map((channel) => [channel.value, channel.isPrimary, channel.isVerified, channel.usedForAuth]);

  await user.update({ displayName: "Ada", clientMetadata: { theme: "dark" } });
  user = await app.getUser();
  told.updated = [user.displayName, user.clientMetadata, user.primaryEmailVerified];

  const team = await user.createTeam({ displayName: "Engines" });
  told.team = [team.displayName, team.clientMetadata, typeof team.id];
  told.teams = (await user.listTeams()).map((item) => item.displayName);
  await team.update({ displayName: "Steam Engines", clientMetadata: { color: "red" } });
  told.teamUpdated = await user.getTeam(team.id).then((found) => [found.displayName, found.clientMetadata]);
  await user.setSelectedTeam(team);
  told.selected = (await app.getUser()).selectedTeam.id === team.id;
  told.permissions = ids(await user.listPermissions(team));
  told.directPermissions = ids(await user.listPermissions(team, { recursive: false }));
  told.has = [await user.hasPermission(team, "$delete_team"), await user.hasPermission(team, "zoom")];
  told.projectPermissions = ids(await user.listPermissions());

  await team.inviteUser({ email: "otp@example.com", callbackUrl: callback });
  const invitation = (await emails()).at(-1);
  told.invitation = [invitation.kind, invitation.to];
  told.invitations = (await team.listInvitations()).map((item) => item.recipientEmail);

  const key = await user.createApiKey({ description: "laptop", expiresAt: null });
  told.apiKey = key.value;
  told.apiKeys = (await user.listApiKeys()).map((item) => [item.description, item.value.lastFour === key.value.slice(-4)]);
  await key.revoke();
  told.apiKeysValid = (await user.listApiKeys()).map((item) => item.isValid());

  const sessions = await user.getActiveSessions();
  told.sessions = sessions.map((session) => session.isCurrentSession);
  await user.revokeSession(sessions.find((session) => !session.isCurrentSession).id);
  told.sessionsLeft = (await user.getActiveSessions()).length;
  told.otherSignedOut = await open({ ...otherTokens, accessToken: "" }).getUser();

  const change = { oldPassword: "correct horse", newPassword: "battery staple" };
  told.passwordChanged = (await user.updatePassword(change)) ?? "ok";
  told.passwordChangedTwice = (await user.updatePassword(change)).errorCode;
  told.forgot = outcome(await app.sendForgotPasswordEmail("ada@example.com", { callbackUrl: callback }));
  const reset = (await emails()).at(-1);
  told.resetCode = outcome(await app.verifyPasswordResetCode(reset.code));
  told.reset = outcome(await app.resetPassword({ code: reset.code, password: "third horse!" }));

  const last = open();
  told.signInAfterReset = outcome(await last.signInWithCredential({ ...ada, password: "third horse!", ...silent }));
  const leaving = await last.getUser();
  const tokens = await leaving.getAuthJson();
  await leaving.signOut();
  told.signedOut = await last.getUser();
  told.sessionOver = await open({ accessToken: "", refreshToken: tokens.refreshToken }).getUser();

  const guest = open();
  const anonymous = await guest.getUser({ or: "anonymous" });
  told.anonymous = [anonymous.isAnonymous, anonymous.isRestricted, anonymous.primaryEmail];
  told.anonymousHidden = await guest.getUser();
  const late = { email: "late@example.com", password: "correct horse", noVerificationCallback: true };
  told.upgrade = outcome(await guest.signUpWithCredential({ ...late, ...silent }));
  const upgraded = await guest.getUser();
  told.upgraded = [upgraded.id === anonymous.id, upgraded.isAnonymous, upgraded.primaryEmail];

  const magic = open();
  const sent = await magic.sendMagicLinkEmail("otp@example.com", { callbackUrl: callback });
  told.codeSent = outcome(sent);
  const code = (await emails()).at(-1);
  told.code = [code.kind, code.to, code.code.length];
  told.wrongCode = outcome(await magic.signInWithMagicLink(`ZZZZZZ${sent.data.nonce}`, silent));
  // The SDK's form sends capitals, whatever was typed.
  told.codeSignIn = outcome(await magic.signInWithMagicLink(code.code.toUpperCase() + sent.data.nonce, silent));
  told.codeUsedTwice = outcome(await open().signInWithMagicLink(code.code + sent.data.nonce, silent));
  const invited = await magic.getUser();
  told.codeUser = [invited.primaryEmail, invited.primaryEmailVerified, invited.otpAuthEnabled, invited.hasPassword];
  const [waiting] = await invited.listTeamInvitations();
  told.waiting = waiting.teamDisplayName;
  await waiting.accept();
  told.joined = (await invited.listTeams()).map((item) => item.displayName);
  told.memberPermissions = ids(await invited.listPermissions(await invited.getTeam(team.id)));
  try {
    await (await invited.getTeam(team.id)).update({ displayName: "Mine" });
  } catch (error) {
    told.memberMayNot = error.errorCode;
  }
  await invited.leaveTeam(await invited.getTeam(team.id));
  told.left = await invited.getTeam(team.id);
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
