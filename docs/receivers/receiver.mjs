// A receiver of Coatcheck's callbacks: Node.js 18 or newer, nothing else.
//
//     KEY=whpk_… PORT=8000 node receiver.mjs
//
// It verifies the signature (Standard Webhooks 1.0) with the server's public
// key (v1a) or, when KEY is whsec_…, with the secret you share (v1), handles
// each callback once, and answers before it does slow work.

import { createHmac, createPublicKey, timingSafeEqual, verify } from 'node:crypto'
import { createServer } from 'node:http'

const [, kind, text] = /^(whpk|whsec)_(.+)$/.exec(process.env.KEY)
const key = Buffer.from(text, 'base64')
const scheme = kind === 'whpk' ? 'v1a' : 'v1'
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
  if (!id || !/^\d+$/.test(timestamp)) return 'no webhook-id or no webhook-timestamp'
  if (Math.abs(Date.now() / 1000 - timestamp) > tolerance) return 'too old, or the clocks differ'
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body])
  for (const signature of (headers['webhook-signature'] ?? '').split(' ')) {
    const [version, value] = signature.split(',')
    if (version === scheme && value && matches(signed, Buffer.from(value, 'base64'))) return
  }
  return 'no signature matches'
}

createServer(async (request, response) => {
  const chunks = []
  let length = 0
  for await (const chunk of request) {
    if ((length += chunk.length) > maxBody) return response.writeHead(413).end()
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  const wrong = mistake(request.headers, body)
  if (wrong) return response.writeHead(400).end(wrong)
  if (!seen.has(request.headers['webhook-id'])) {
    const { type, data } = JSON.parse(body)
    console.log(type, data.job?.id, JSON.stringify(data.job?.output))
    seen.add(request.headers['webhook-id'])
  }
  response.writeHead(204).end()
}).listen(process.env.PORT ?? 8000, '127.0.0.1', function () {
  console.log(`Receiving at http://127.0.0.1:${this.address().port}/`)
})
