package handshake

import "bytes"

// stranger returns what another protocol begins with that is often found at an address by mistake, "" for none.
// first are the first bytes that came from there.
func stranger(first []byte) string {
	for _, s := range [...]struct{ name, begins string }{
		{"HTTP", "HTTP/"}, {"HTTP", "GET "}, {"HTTP", "POST"}, {"HTTP", "HEAD"}, {"HTTP", "OPTI"}, {"HTTP", "CONN"},
		{"HTTP", "PRI "}, {"SSH", "SSH-"}, {"plain TLS", "\x15\x03"}, {"plain TLS", "\x16\x03"},
		{"libp2p", "\x13/multistream"},
	} {
		if bytes.HasPrefix(first, []byte(s.begins)) {
			return s.name
		}
	}
	return ""
}
