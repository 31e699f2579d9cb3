// A js-libp2p node of any release from 1.9 on: `node release.mjs SECURITY TRANSPORT [ADDRESS]`. It lies beside the
// node_modules of its release. With an address it dials that, runs identify, pings, gets a MiB echoed, prints the
// result as one JSON object, and ends. Otherwise it prints where it listens, echoes, and ends with its stdin.
Promise.withResolvers ??= function () { // Node 20 does not have it yet
  let resolve, reject
  const promise = new Promise((yes, no) => { resolve = yes; reject = no })
  return { promise, resolve, reject }
}

const [security, transport, address] = process.argv.slice(2)
const { createLibp2p } = await import('libp2p')
const { yamux } = await import('@chainsafe/libp2p-yamux')
const { identify } = await import('@libp2p/identify')
const { ping } = await import('@libp2p/ping')
const { multiaddr } = await import('@multiformats/multiaddr')
const secure = security === 'tls'
  ? (await import('@libp2p/tls')).tls()
  : (await import('@chainsafe/libp2p-noise')).noise()
const carry = transport === 'quic'
  ? (await import('@chainsafe/libp2p-quic')).quic()
  : (await import('@libp2p/tcp')).tcp()

const echoProtocol = '/echo/1.0.0'

const node = await createLibp2p({
  addresses: { listen: [transport === 'quic' ? '/ip4/127.0.0.1/udp/0/quic-v1' : '/ip4/127.0.0.1/tcp/0'] },
  transports: [carry],
  connectionEncrypters: [secure],
  connectionEncryption: [secure], // its name in 1.x
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() }
})

// Until 2.x a stream has a sink and a source; from 3.x on it is one iterable with send.
async function send (stream, parts) {
  if (stream.sink != null) return stream.sink(parts)
  for await (const part of parts) {
    if (!stream.send(part)) await stream.onDrain()
  }
  await stream.close()
}

const received = stream => stream.source ?? stream

await node.handle(echoProtocol, async (a) => {
  const stream = a.stream ?? a
  await send(stream, received(stream)).catch(err => stream.abort(err))
}, { maxInboundStreams: 256 })

const say = line => process.stdout.write(JSON.stringify(line) + '\n')

async function meet () {
  const identified = new Promise(resolve => node.addEventListener('peer:identify', ({ detail }) => resolve(detail)))
  const connection = await node.dial(multiaddr(address))
  const peer = connection.remotePeer
  const { agentVersion, protocols } = await identified
  await node.services.ping.ping(peer)

  const data = new Uint8Array(1 << 20).map((_, i) => i * 31)
  const parts = async function * () {
    for (let at = 0; at < data.length; at += 65536) yield data.subarray(at, at + 65536)
  }
  const stream = await node.dialProtocol(peer, echoProtocol)
  const sent = send(stream, parts())
  let echoed = 0
  for await (const part of received(stream)) {
    for (const byte of part.subarray()) {
      if (byte !== data[echoed++]) throw new Error(`byte ${echoed - 1} came back changed`)
    }
  }
  await sent
  return { peer: peer.toString(), agent: agentVersion, protocols, echoed }
}

if (address != null) {
  try {
    say(await meet())
  } catch (err) {
    say({ error: `${err.name}: ${err.message}` })
  }
} else {
  say({ peer: node.peerId.toString(), listen: node.getMultiaddrs().map(String) })
  for await (const _ of process.stdin);
}
await node.stop()
process.exit(0)
