// SPDX-License-Identifier: EUPL-1.2
//
// A provider of identity as SPID and CIE are, for tests: oidc-provider with their rules. Who logs in, and how, is in the
// cookie "who" of the browser: a JSON object with account, acr, or error and error_description.
//
//   node provider.mjs CONFIG
//
// CONFIG is a file: {"issuer","keys":JWK set,"client":metadata,"codes":{account: fiscal code}}.
// It prints the port it listens on.
import fs from 'node:fs';
import crypto from 'node:crypto';
import Provider from 'oidc-provider';

const config = JSON.parse(fs.readFileSync(process.argv[2], 'utf8'));
const code = 'https://attributes.eid.gov.it/fiscal_number';
const levels = ['https://www.spid.gov.it/SpidL1', 'https://www.spid.gov.it/SpidL2', 'https://www.spid.gov.it/SpidL3'];

const provider = new Provider(config.issuer, {
  jwks: config.keys,
  clients: [config.client],
  claims: { openid: ['sub'], acr: null, [code]: null },
  acrValues: levels,
  scopes: ['openid'],
  subjectTypes: ['pairwise'],
  pairwiseIdentifier: (ctx, account, client) => crypto.createHash('sha256').update(`${client.sectorIdentifier} ${account}`).digest('hex'),
  pkce: { required: () => true },
  responseTypes: ['code'],
  clientAuthMethods: ['private_key_jwt'],
  conformIdTokenClaims: true,
  enabledJWA: {
    clientAuthSigningAlgValues: ['RS256', 'RS512'],
    requestObjectSigningAlgValues: ['RS256', 'RS512'],
    idTokenSigningAlgValues: ['RS256', 'RS512'],
    userinfoSigningAlgValues: ['RS256', 'RS512'],
    userinfoEncryptionAlgValues: ['RSA-OAEP', 'RSA-OAEP-256'],
    userinfoEncryptionEncValues: ['A128CBC-HS256', 'A256CBC-HS512'],
  },
  features: {
    claimsParameter: { enabled: true },
    devInteractions: { enabled: false },
    encryption: { enabled: true },
    jwtUserinfo: { enabled: true },
    requestObjects: { enabled: true, requireSignedRequestObject: true },
    revocation: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => { ctx.body = `<!doctype html>${form}<button form="op.logoutForm" name="logout" value="yes">Logout</button>`; },
    },
  },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['for tests'] },
  findAccount: (ctx, account) => ({
    accountId: account,
    claims: () => ({ sub: account, [code]: config.codes[account] }),
  }),
  renderError: (ctx, out) => { ctx.type = 'json'; ctx.body = out; },
  ttl: { AccessToken: 300, AuthorizationCode: 60, IdToken: 300, Interaction: 300, Session: 300, Grant: 300 },
});

provider.on('server_error', (ctx, error) => console.error(error));
for (const name of ['authorization', 'grant', 'userinfo', 'revocation', 'end_session']) {
  provider.on(`${name}.error`, (ctx, error) => console.error(name, error.message, error.error_description, error.error_detail));
}

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith('/interaction/')) {
    await next();
    return;
  }
  const { params } = await provider.interactionDetails(ctx.req, ctx.res);
  const who = JSON.parse(decodeURIComponent(ctx.cookies.get('who')));
  let result = { error: who.error, error_description: who.error_description };
  if (!who.error) {
    const grant = new provider.Grant({ accountId: who.account, clientId: params.client_id });
    grant.addOIDCScope('openid');
    grant.addOIDCClaims([code, 'acr']);
    result = { login: { accountId: who.account, acr: who.acr, remember: false }, consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  ctx.respond = false;
});

const server = provider.listen(0, '127.0.0.1', () => console.log(server.address().port));
