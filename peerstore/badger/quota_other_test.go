//go:build !unix

package badger

const quotaEnv = "SWITCHYARD_QUOTA_CHILD"

// quotaChild is for TestQuota, which needs Unix.
func quotaChild(string) {}
