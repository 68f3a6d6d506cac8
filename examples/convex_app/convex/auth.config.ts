// Written by this command; run it again instead of editing the file:
//   hexclave convex-auth-config --project-id e0b52f4d-dece-408c-af49-d23061bb0f8d --api-url https://api.hexclave.com
import type { AuthConfig } from "convex/server";

export default {
  providers: [
    {
      type: "customJwt",
      issuer:
        "https://api.hexclave.com/api/v1/projects/e0b52f4d-dece-408c-af49-d23061bb0f8d",
      jwks: "https://api.hexclave.com/api/v1/projects/e0b52f4d-dece-408c-af49-d23061bb0f8d/.well-known/jwks.json",
      algorithm: "ES256",
      applicationID: "e0b52f4d-dece-408c-af49-d23061bb0f8d",
    },
    {
      type: "customJwt",
      issuer:
        "https://api.hexclave.com/api/v1/projects-anonymous-users/e0b52f4d-dece-408c-af49-d23061bb0f8d",
      jwks: "https://api.hexclave.com/api/v1/projects/e0b52f4d-dece-408c-af49-d23061bb0f8d/.well-known/jwks.json?include_anonymous=true",
      algorithm: "ES256",
      applicationID: "e0b52f4d-dece-408c-af49-d23061bb0f8d:anon",
    },
  ],
} satisfies AuthConfig;
