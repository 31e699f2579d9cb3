// A js-libp2p node over TCP, Noise and yamux that runs commands: each line on stdin is a JSON object, {"id", "do",
// ...}, and is answered by one on stdout with the same id. It ends with its stdin.
import { createInterface } from 'node:readline'

// Node 20 does not have it yet.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { tcp } = await import('@libp2p/tcp')
const { noise } = await import('@chainsafe/libp2p-noise')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { identify, identifyPush } = await import('@libp2p/identify')
const { ping } = await import('@libp2p/ping')
const { peerIdFromString } = await import('@libp2p/peer-id')
const { multiaddr } = await import('@multiformats/multiaddr')

const echoProtocol = '/echo/1.0.0'

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  connectionManager: { inboundConnectionThreshold: 1000 },
  nodeInfo: { name: 'js-libp2p-test', version: '1.0.0', userAgent: 'js-libp2p/test' },
  services: { identify: identify(), identifyPush: identifyPush(), ping: ping() }
})

// What identify and identify push have told of each peer, the latest last.
const told = new Map()
node.addEventListener('peer:identify', ({ detail: d }) => {
  const peer = d.peerId.toString()
  told.set(peer, [...(told.get(peer) ?? []), {
    agent: d.agentVersion ?? '',
    version: d.protocolVersion ?? '',
    protocols: d.protocols,
    listen: d.listenAddrs.map(String),
    observed: d.observedAddr?.toString() ?? ''
  }])
  changed()
})

let watchers = []
function changed () {
  const all = watchers
  watchers = []
  for (const w of all) w()
}
for (const event of ['connection:open', 'connection:close', 'peer:update']) node.addEventListener(event, changed)

// until waits for a condition; its caller bounds the time.
async function until (ok) {
  for (;;) {
    const got = await ok()
    if (got) return got
    await new Promise(resolve => watchers.push(resolve))
  }
}

// echo answers a stream with its own bytes.
async function echo (stream) {
  try {
    for await (const part of stream) {
      if (!stream.send(part)) await stream.onDrain()
    }
    await stream.close()
  } catch (err) {
    stream.abort(err)
  }
}

await node.handle(echoProtocol, echo, { maxInboundStreams: 256, maxOutboundStreams: 256 })

const connectionTo = peer => node.getConnections().find(c => c.remotePeer.toString() === peer)

const does = {
  self: async () => ({ peer: node.peerId.toString(), listen: node.getMultiaddrs().map(String) }),

  dial: async ({ address }) => {
    const c = await node.dial(multiaddr(address))
    return { peer: c.remotePeer.toString(), security: c.encryption, muxer: c.multiplexer }
  },

  // connected waits for a connection of a peer, gone for the end of all.
  connected: async ({ peer }) => {
    const c = await until(() => connectionTo(peer))
    return { peer, security: c.encryption, muxer: c.multiplexer, direction: c.direction }
  },
  gone: async ({ peer }) => { await until(() => connectionTo(peer) == null) },

  hangup: async ({ peer }) => { await node.hangUp(peerIdFromString(peer)) },

  // identified waits for what a peer tells of itself; with a protocol, until that is part of it. A push is told in the
  // peer store.
  identified: async ({ peer, protocol }) => {
    const id = peerIdFromString(peer)
    const last = await until(async () => {
      const last = told.get(peer)?.at(-1)
      if (last == null || protocol == null) return last
      const known = await node.peerStore.get(id)
      return known.protocols.includes(protocol) ? { ...last, protocols: known.protocols } : null
    })
    return last
  },

  ping: async ({ peer }) => ({ ms: await node.services.ping.ping(peerIdFromString(peer)) }),

  // echo sends size bytes on a stream of its own and compares what returns.
  echo: async ({ peer, size }) => {
    const stream = await node.dialProtocol(peerIdFromString(peer), echoProtocol)
    const data = new Uint8Array(size)
    for (let i = 0; i < size; i++) data[i] = (i * 31 + (i >> 8)) & 0xff
    const send = (async () => {
      for (let at = 0; at < size; at += 256 * 1024) {
        if (!stream.send(data.subarray(at, Math.min(size, at + 256 * 1024)))) await stream.onDrain()
      }
      await stream.close()
    })()
    let at = 0
    for await (const part of stream) {
      const bytes = part.subarray()
      for (let i = 0; i < bytes.length; i++) {
        if (bytes[i] !== data[at + i]) throw new Error(`byte ${at + i} of ${size} came back changed`)
      }
      at += bytes.length
    }
    await send
    if (at !== size) throw new Error(`${size} bytes came back as ${at}`)
  },

  // open opens a stream of any protocol and closes it.
  open: async ({ peer, protocol }) => {
    const stream = await node.dialProtocol(peerIdFromString(peer), protocol)
    await stream.close()
  },

  // reset sends a few bytes on an echo stream and resets it.
  reset: async ({ peer }) => {
    const stream = await node.dialProtocol(peerIdFromString(peer), echoProtocol)
    stream.send(new Uint8Array(100_000))
    stream.abort(new Error('a test'))
  },

  // handle takes another protocol, which peers hear of by an identify push.
  handle: async ({ protocol }) => { await node.handle(protocol, echo) },

  // store tells which addresses the peer store has of a peer.
  store: async ({ peer }) => {
    const known = await node.peerStore.get(peerIdFromString(peer))
    return { listen: known.addresses.map(a => a.multiaddr.toString()), protocols: known.protocols }
  }
}

function say (line) { process.stdout.write(JSON.stringify(line) + '\n') }

say({ id: 0, ...(await does.self()) })
for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: what, ...args } = JSON.parse(line)
  does[what](args).then(result => say({ id, ...result }), err => say({ id, error: `${err.name}: ${err.message}` }))
}
await node.stop()
process.exit(0)
