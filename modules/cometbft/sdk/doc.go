// Package sdk lets Cosmos SDK chains that run their CometBFT node in process run it on Switchyard, with the same
// commands, flags and home. A chain's main changes one line: sdk.AddCommands in place of the SDK's server.AddCommands.
// One that calls server.AddCommandsWithStartCmdOptions wraps its options in StartCmdOptions instead.
//
// The SDK passes no options to the node that it makes, so the start command has a handler of its own here: command.go
// decides what it runs, start.go runs an application with its servers, and node.go makes the node.
//
// It is a module of its own, so that other users of CometBFT on Switchyard do not inherit the SDK. One source serves
// SDK 0.55 (go.mod, CometBFT 0.40) and SDK 0.53 (go.v053.mod with the tag cometbft038).
package sdk
