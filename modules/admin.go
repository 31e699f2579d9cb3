package modules

import "go.uber.org/fx"

// Admin is the module of the admin API.
func Admin(c Config) fx.Option { return fx.Module("admin") }
