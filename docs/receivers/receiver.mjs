// A receiver of Coatcheck's callbacks: Node.js 18 or newer, nothing else.
//
//     KEY=whpk_… ACCOUNT=alice PORT=8000 node receiver.mjs
//
// It verifies the signature (Standard Webhooks 1.0) with the server's public
// key (v1a) or, when KEY is whsec_…, with the secret you share (v1), refuses the
// callbacks of other accounts, handles each callback once, and answers before it
// does slow work.

import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto'
import { createServer } from 'node:http'

const [, kind, text] = /^(whpk|whsec)_(.+)$/.exec(process.env.KEY)
const key = Buffer.from(text, 'base64')
const scheme = kind === 'whpk' ? 'v1a' : 'v1'
const account = process.env.ACCOUNT ?? 'local' // local, if the server has no users
const tolerance = 5 * 60 // seconds
const maxBody = 1 << 20
const seen = new Set() // in earnest: a table with the id as its key

const publicKey = kind === 'whpk' &&
  createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: key.toString('base64url') } })

function matches(signed, signature) {
  if (publicKey) return verify(null, signed, publicKey, signature)
  const want = createHmac('sha256', key).update(signed).digest()
  return want.length === signature.length && timingSafeEqual(want, signature)
}

// Returns what is wrong, or nothing. The body is the request's bytes.
function mistake(headers, body) {
  const id = headers['webhook-id']
  const timestamp = headers['webhook-timestamp']
  if (!id || !/^\d{1,12}$/.test(timestamp)) return 'no webhook-id or no webhook-timestamp'
  if (Math.abs(Date.now() / 1000 - timestamp) > tolerance) return 'too old, or the clocks differ'
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body])
  for (const signature of (headers['webhook-signature'] ?? '').split(' ')) {
    const [version, value] = signature.split(',')
    if (version === scheme && value && matches(signed, Buffer.from(value, 'base64'))) return
  }
  return 'no signature matches'
}

// Answers with [status, text].
async function receive(request) {
  const chunks = []
  let length = 0
  for await (const chunk of request) { // to its end, so that the answer is read
    if ((length += chunk.length) <= maxBody) chunks.push(chunk)
  }
  if (length > maxBody) return [413, 'too large']
  const body = Buffer.concat(chunks)
  const wrong = mistake(request.headers, body)
  if (wrong) return [400, wrong]
  const { type, data } = JSON.parse(body)
  if (data.account !== account) return [403, `not of the account ${account}`] // one key may sign for all users
  if (!seen.has(request.headers['webhook-id'])) {
    console.log(type, data.job?.id, JSON.stringify(data.job?.output))
    seen.add(request.headers['webhook-id'])
  }
  return [204]
}

createServer({ requestTimeout: 10_000 }, (request, response) => {
  receive(request)
    .then(([status, text]) => response.writeHead(status).end(text))
    .catch(() => response.destroy()) // the caller left in the middle
}).listen(process.env.PORT ?? 8000, '127.0.0.1', function () {
  console.log(`Receiving at http://127.0.0.1:${this.address().port}/`)
})
