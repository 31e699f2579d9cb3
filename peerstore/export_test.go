package peerstore

// CheckBook is checkBook for the model test, which is outside of the package.
func CheckBook(b *Book) error { return checkBook(b) }
