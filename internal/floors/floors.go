// Package floors keeps the shape of the repository: its test checks which package may import which
// (docs/architecture.md, "The picture"), which folders there are at the top, and how long a file may be.
package floors

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Module is the path of the main module.
const Module = "github.com/switchyard-p2p/switchyard"

// MaxLines is how long a file may be that is neither generated nor a test.
const MaxLines = 500

// topLevel lists the folders of the repository, without dot-folders.
var topLevel = []string{"cmd", "deploy", "discovery", "docs", "handshake", "host", "internal", "modules", "muxer",
	"peerstore", "transport"}

// builtFrom are the packages of the same floor that others are built from: a wire is made of a security and a muxer,
// the host of its peer manager.
var builtFrom = map[string][]string{
	"host":             {"host/peers"},
	"handshake/comet":  {"handshake/secretconn", "muxer/mconn"},
	"handshake/libp2p": {"handshake/noise", "handshake/tls", "muxer/lanes", "muxer/yamux"},
}

// engines are packages that the plug-ins of a contract share. They stand on the contract's floor.
var engines = map[string]bool{"peerstore/internal/book": true}

// room is the place and kind of a package.
type room struct {
	pkg    string // path below the module, such as "transport/tcp"
	floor  int    // a package imports only lower floors; see docs/architecture.md
	plugin bool   // one of several implementations of a contract, or a service
	suite  bool   // made for tests, such as transport/transporttest
}

// roomOf returns the room of a package, or an error if it has no place.
func roomOf(pkg string) (room, error) {
	top, rest, below := strings.Cut(pkg, "/")
	r := room{pkg: pkg, suite: below && strings.HasSuffix(path.Base(pkg), "test") && path.Base(pkg) != "test"}
	switch top {
	case "internal":
		r.floor = 0
		if pkg == "internal/stock" { // the constructors of all parts, which the root package and modules/standard share
			r.floor = 5
		}
	case "transport", "muxer":
		r.floor, r.plugin = 1, below && !r.suite
	case "handshake", "peerstore":
		r.floor, r.plugin = 2, below && !r.suite && !engines[pkg]
	case "host":
		r.floor, r.plugin = 3, below && !r.suite && pkg != "host/peers"
	case "discovery":
		r.floor, r.plugin = 4, below && !r.suite
	case ".", "modules": // the root package is a node without fx
		r.floor = 6
	case "cmd":
		r.floor = 7
	default:
		return r, fmt.Errorf("%s: no such floor", pkg)
	}
	switch {
	case r.plugin && top == "host", pkg == "host/hosttest":
		r.floor = 4 // services of the host, and networks of hosts
	case r.plugin && r.floor < 3:
		r.floor = 3
	}
	if r.plugin && strings.Contains(rest, "/") {
		return r, fmt.Errorf("%s: a plug-in has no packages of its own below it; put what it needs into internal/", pkg)
	}
	return r, nil
}

// checkImport returns why from must not import to, both in the main module, or "" if it may.
func checkImport(from, to room) string {
	family := func(r room) string { top, _, _ := strings.Cut(r.pkg, "/"); return top }
	switch {
	case to.suite && !from.suite:
		return "only tests import " + to.pkg
	case slices.Contains(builtFrom[from.pkg], to.pkg):
		return ""
	case slices.Contains(builtFrom[to.pkg], from.pkg):
		return to.pkg + " is built from " + from.pkg
	case from.plugin && to.plugin:
		return "plug-ins never import each other"
	case to.floor < from.floor:
		return ""
	case family(from) == family(to) && to.pkg == family(to) && from.pkg != to.pkg:
		return "" // its own contract
	case from.floor == 0 && to.floor == 0, family(from) == "modules" && family(to) == "modules",
		family(from) == "cmd" && family(to) == "cmd":
		return ""
	}
	return fmt.Sprintf("floor %d does not import floor %d", from.floor, to.floor)
}

// checkOutside returns why a package must not import a package outside the module, or "" if it may.
func checkOutside(from room, imported string) string {
	top, _, _ := strings.Cut(from.pkg, "/")
	is := func(p string) bool { return imported == p || strings.HasPrefix(imported, p+"/") }
	switch {
	case is("go.uber.org/fx") && top != "modules" && top != "cmd":
		return "only modules/ and cmd/ import fx"
	case is("google.golang.org/grpc") && top != "modules" && top != "cmd":
		return "only modules/ and cmd/ import gRPC, so that other programs do not link it"
	case imported == "testing" && !from.suite:
		return "only tests and test suites import testing"
	case is("github.com/libp2p/zeroconf") && from.pkg == "discovery/mdns": // multicast DNS, without the rest of libp2p
	case is("github.com/cometbft") || is("github.com/libp2p") && !is("github.com/libp2p/go-yamux"):
		return "the stacks of real peers are judges, in internal/interop only"
	}
	return ""
}
