package transfer

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// cometAddress is an entry of CometBFT's addrbook.json (p2p/pex/file.go and known_address.go of CometBFT 0.34 to 1.0,
// and of Tendermint before). Its key and bucket numbers mean nothing here, as the store places addresses anew.
type cometAddress struct {
	Addr        cometNode `json:"addr"`
	Src         cometNode `json:"src"` // the node that reported it
	Attempts    int32     `json:"attempts"`
	LastAttempt time.Time `json:"last_attempt"`
	LastSuccess time.Time `json:"last_success"`
	LastBan     time.Time `json:"last_ban_time"` // until when; CometBFT keeps it here for a day as a rule
}

type cometNode struct {
	ID   transport.NodeID `json:"id"`
	IP   string           `json:"ip"`
	Port uint16           `json:"port"`
}

// CometKind is the peerstore.Source.Kind of addresses from an addrbook.json.
const CometKind = "addrbook"

func (in *importer) comet(k *cometAddress) {
	id, err := transport.ParseNodeID(string(k.Addr.ID))
	if err != nil || !id.IsEd25519() {
		in.Bad++
		return
	}
	addr, err := transport.CometAddress(id, k.Addr.IP, k.Addr.Port)
	if err != nil {
		in.Bad++
		return
	}
	source := peerstore.Source{Kind: CometKind}
	if from, err := transport.ParseNodeID(string(k.Src.ID)); err == nil && from != id {
		source.From = from
	}
	if ip, err := netip.ParseAddr(k.Src.IP); err == nil && k.Src.ID != k.Addr.ID {
		source.IP = ip.Unmap().WithZone("")
	}
	heard := later(k.LastAttempt, k.LastSuccess)
	in.cut(0, &heard, &k.LastAttempt)
	record := peerstore.AddressRecord{
		Address: addr, Source: source, LastHeard: heard, LastDialed: k.LastAttempt,
		Failures: uint32(max(k.Attempts, 0)),
	}
	if k.LastSuccess.Year() > 1 && !k.LastSuccess.After(in.now) {
		record.LastSuccess = k.LastSuccess
	}
	if k.LastBan.After(in.now) { // kept as a rest: what CometBFT's bans are for is not known
		record.NotBefore = k.LastBan
		in.cut(peerstore.LongestBackoff, &record.NotBefore)
	}
	in.take(id, []peerstore.AddressRecord{record}, func(r *peerstore.Record) {
		if r.Failures == 0 {
			r.Failures = record.Failures
		}
	})
}
