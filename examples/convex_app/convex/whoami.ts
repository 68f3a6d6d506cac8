import { queryGeneric } from "convex/server";

// In a project of your own: import { query } from "./_generated/server".
export const get = queryGeneric({
  args: {},
  handler: async (ctx) => await ctx.auth.getUserIdentity(),
});
