//go:build cometbft1

package main

import "github.com/cometbft/cometbft/abci/types"

type (
	checkRequest     = types.CheckTxRequest
	checkResponse    = types.CheckTxResponse
	finalizeRequest  = types.FinalizeBlockRequest
	finalizeResponse = types.FinalizeBlockResponse
	commitRequest    = types.CommitRequest
	commitResponse   = types.CommitResponse
	listRequest      = types.ListSnapshotsRequest
	listResponse     = types.ListSnapshotsResponse
	loadRequest      = types.LoadSnapshotChunkRequest
	loadResponse     = types.LoadSnapshotChunkResponse
	offerRequest     = types.OfferSnapshotRequest
	offerResponse    = types.OfferSnapshotResponse
	applyRequest     = types.ApplySnapshotChunkRequest
	applyResponse    = types.ApplySnapshotChunkResponse
)

const (
	checkNew    = types.CHECK_TX_TYPE_CHECK
	offerAccept = types.OFFER_SNAPSHOT_RESULT_ACCEPT
	applyAccept = types.APPLY_SNAPSHOT_CHUNK_RESULT_ACCEPT
)
