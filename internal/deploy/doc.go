// Package deploy makes deploy/monitoring/dashboard.json from the metrics of a node, and its tests hold the files below
// deploy/ to the program: units, rules, metrics, commands and settings.
//
//	go test ./internal/deploy -update
//
// writes the dashboard anew.
package deploy
