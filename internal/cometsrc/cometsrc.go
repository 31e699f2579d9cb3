// Package cometsrc makes copies of CometBFT's sources, which tests change and build. Nothing of CometBFT's is kept in
// this repository.
package cometsrc

import (
	"context"

	"github.com/switchyard-p2p/switchyard/internal/suitekit"
)

// Copy makes dir a copy of a release's sources, without documents. What was in dir is removed.
func Copy(ctx context.Context, version, dir string) error {
	return suitekit.Copy(ctx, "github.com/cometbft/cometbft", version, dir, "docs", "spec")
}

// Require adds this repository's modules, whose folder is source, to what a go.mod requires.
func Require(ctx context.Context, gomod, source string) error {
	return suitekit.Require(ctx, gomod, source, "", "modules/cometbft")
}
