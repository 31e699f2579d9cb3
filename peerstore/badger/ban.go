package badger

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

func encodeBan(b *peerstore.Ban) ([]byte, error) {
	return proto.Marshal(&switchyardpb.StoredBan{Since: stamp(b.Since), Until: stamp(b.Until), Reason: strings.ToValidUTF8(b.Reason, "?")})
}

// decodeBan reads a ban from its key (without its letter) and value.
func decodeBan(key, value []byte) (b peerstore.Ban, err error) {
	if b.Target, err = peerstore.ParseTarget(string(key)); err != nil {
		return b, err
	}
	var s switchyardpb.StoredBan
	if err := proto.Unmarshal(value, &s); err != nil {
		return b, err
	}
	b.Since, b.Until, b.Reason = unstamp(s.Since), unstamp(s.Until), s.Reason
	return b, nil
}
