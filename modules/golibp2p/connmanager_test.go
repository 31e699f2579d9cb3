package golibp2p_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Tags add up while a peer is connected, and protections outlive its connections.
func TestConnManager(t *testing.T) {
	a, b := tcpOnly(t), tcpOnly(t)
	m, p := a.ConnManager(), b.ID()
	told := newDiary(a)
	m.Protect(p, "keep")
	connect(t, a, b)
	m.TagPeer(p, "x", 3)
	m.UpsertTag(p, "y", func(n int) int { return n + 4 })
	if info := m.GetTagInfo(p); info == nil || info.Value != 7 || len(info.Tags) != 2 || len(info.Conns) != 1 {
		t.Errorf("%+v", info)
	}
	m.UntagPeer(p, "x")
	if info := m.GetTagInfo(p); info == nil || info.Value != 4 {
		t.Errorf("%+v", info)
	}
	if !m.IsProtected(p, "") || !m.IsProtected(p, "keep") || m.IsProtected(p, "other") {
		t.Error("protections are mixed up")
	}
	if err := a.Network().ClosePeer(p); err != nil {
		t.Fatal(err)
	}
	told.await(t, 2)
	if info := m.GetTagInfo(p); info == nil || info.Value != 0 || !m.IsProtected(p, "keep") {
		t.Errorf("%+v", info)
	}
	if m.Unprotect(p, "keep") || m.GetTagInfo(p) != nil {
		t.Error("a peer of which nothing is said is remembered")
	}
	for _, id := range []peer.ID{"", "x", a.ID()} { // whatever a program says
		m.TagPeer(id, "x", 1)
		m.Protect(id, "x")
	}
	var n int
	_ = a.Network().ResourceManager().ViewSystem(func(s network.ResourceScope) error {
		n = s.Stat().NumConnsOutbound + s.Stat().NumConnsInbound
		return nil
	})
	if n != 0 {
		t.Errorf("%d connections are counted", n)
	}
}
