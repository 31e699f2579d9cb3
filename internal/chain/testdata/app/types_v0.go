//go:build !cometbft1

package main

import "github.com/cometbft/cometbft/abci/types"

type (
	checkRequest     = types.RequestCheckTx
	checkResponse    = types.ResponseCheckTx
	finalizeRequest  = types.RequestFinalizeBlock
	finalizeResponse = types.ResponseFinalizeBlock
	commitRequest    = types.RequestCommit
	commitResponse   = types.ResponseCommit
	listRequest      = types.RequestListSnapshots
	listResponse     = types.ResponseListSnapshots
	loadRequest      = types.RequestLoadSnapshotChunk
	loadResponse     = types.ResponseLoadSnapshotChunk
	offerRequest     = types.RequestOfferSnapshot
	offerResponse    = types.ResponseOfferSnapshot
	applyRequest     = types.RequestApplySnapshotChunk
	applyResponse    = types.ResponseApplySnapshotChunk
)

const (
	checkNew    = types.CheckTxType_New
	offerAccept = types.ResponseOfferSnapshot_ACCEPT
	applyAccept = types.ResponseApplySnapshotChunk_ACCEPT
)
