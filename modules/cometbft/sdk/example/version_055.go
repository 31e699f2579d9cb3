//go:build !cometbft038

package example

import (
	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/types"
)

type logger = log.Logger

var noLogger = log.NewNopLogger()

// newApp is a types.AppCreator.
func newApp(l logger, db dbm.DB, opts types.AppOptions) types.Application {
	return load(newBuilder(l).Build(db, server.DefaultBaseappOptions(opts)...))
}

// export is a types.AppExporter.
func export(logger, dbm.DB, int64, bool, []string, types.AppOptions, []string) (types.ExportedApp, error) {
	return types.ExportedApp{}, errNoExport
}
