// Package example is the smallest chain of the Cosmos SDK that has accounts, coins and validators. Its program is
// example/exampled; the tests run it with the SDK's own start command, too.
package example
