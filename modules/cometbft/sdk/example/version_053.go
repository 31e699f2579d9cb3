//go:build cometbft038

package example

import (
	"io"

	"cosmossdk.io/log"
	dbm "github.com/cosmos/cosmos-db"
	"github.com/cosmos/cosmos-sdk/server"
	"github.com/cosmos/cosmos-sdk/server/types"
)

type logger = log.Logger

var noLogger = log.NewNopLogger()

// newApp is a types.AppCreator.
func newApp(l logger, db dbm.DB, trace io.Writer, opts types.AppOptions) types.Application {
	return load(newBuilder(l).Build(db, trace, server.DefaultBaseappOptions(opts)...))
}

// export is a types.AppExporter.
func export(logger, dbm.DB, io.Writer, int64, bool, []string, types.AppOptions, []string) (types.ExportedApp, error) {
	return types.ExportedApp{}, errNoExport
}
