module github.com/switchyard-p2p/switchyard/internal/chain

go 1.26.7

replace github.com/switchyard-p2p/switchyard => ../..

require github.com/switchyard-p2p/switchyard v0.0.0-00010101000000-000000000000
