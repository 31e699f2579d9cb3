package admin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Role is what the operator makes of a peer: the body and the answer of POST /v1/protect.
type Role struct {
	// Peer is a node id, or an address that names one, which the node learns.
	Peer          string `json:"peer"`
	Trusted       bool   `json:"trusted"`
	Unconditional bool   `json:"unconditional"`
	Private       bool   `json:"private"`
}

func (s *Server) protect(w http.ResponseWriter, r *http.Request) {
	var in Role
	if !read(w, r, &in) {
		return
	}
	role := peers.Role{Trusted: in.Trusted, Unconditional: in.Unconditional, Private: in.Private}
	if role == (peers.Role{}) {
		Fail(w, http.StatusBadRequest,
			errors.New("want trusted, unconditional or private; DELETE /v1/protect/ID takes all of them back"))
		return
	}
	id, err := transport.ParseNodeID(in.Peer)
	if err != nil {
		var a transport.Address
		if a, err = transport.ParseAddress(in.Peer); err == nil && a.ID() == "" {
			err = fmt.Errorf("address %.200q names no node", in.Peer)
		}
		if err != nil {
			Fail(w, http.StatusBadRequest, err)
			return
		}
		id = a.ID()
		if err := s.node.Peers.Add(a, peerstore.Source{Kind: "operator"}); err != nil {
			Fail(w, http.StatusConflict, fmt.Errorf("%s is refused: %w", a, err))
			return
		}
	}
	if err := s.node.Peers.SetRole(id, role); err != nil {
		Fail(w, http.StatusConflict, err)
		return
	}
	in.Peer = string(id)
	Reply(w, http.StatusOK, in)
}

func (s *Server) unprotect(w http.ResponseWriter, r *http.Request) {
	id, err := transport.ParseNodeID(r.PathValue("id"))
	if err != nil {
		Fail(w, http.StatusBadRequest, err)
		return
	}
	if err := s.node.Peers.SetRole(id, peers.Role{}); err != nil {
		Fail(w, http.StatusConflict, err)
		return
	}
	Reply(w, http.StatusOK, Role{Peer: string(id)})
}
