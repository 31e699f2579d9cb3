package signergrpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
)

// TLSFiles are PEM files for mutual TLS: the authority that has signed the other end's certificate, and our own
// certificate with its key. Certificate and key are read anew for each connection, so that they can be renewed without
// a restart; if they cannot be read then, the last ones are shown.
type TLSFiles struct {
	CA, Cert, Key string
}

// Check reads the files, and returns what is wrong with them.
func (f TLSFiles) Check() error {
	_, err := f.config()
	return err
}

// maxPEM bounds a file, in bytes.
const maxPEM = 1 << 20

// config returns the part that both ends share.
func (f TLSFiles) config() (*tls.Config, error) {
	if f.CA == "" || f.Cert == "" || f.Key == "" {
		return nil, errors.New("mutual TLS needs three files: the authority, our certificate and its key")
	}
	info, err := os.Stat(f.CA)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPEM || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file of certificates", f.CA)
	}
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s has no certificate in PEM form", f.CA)
	}
	own := &keyPair{files: f}
	if _, err := own.get(); err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return own.get() },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own.get() },
	}, nil
}

// client is for connections to a signer at host:port.
func (f TLSFiles) client(address string) (*tls.Config, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	c.ServerName, _, err = net.SplitHostPort(address)
	return c, err
}

// warn tells the log if others may read the key.
func (f TLSFiles) warn(log *slog.Logger) {
	if info, err := os.Stat(f.Key); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others may use the key of our certificate: run chmod 600", slog.String("file", f.Key),
			slog.String("mode", info.Mode().String()))
	}
}

// keyPair is a certificate that is read anew at each use.
type keyPair struct {
	files TLSFiles
	mu    sync.Mutex
	last  *tls.Certificate
}

func (k *keyPair) get() (*tls.Certificate, error) {
	read, err := tls.LoadX509KeyPair(k.files.Cert, k.files.Key)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.last = &read
	} else if k.last == nil {
		return nil, fmt.Errorf("%s with %s: %w", k.files.Cert, k.files.Key, err)
	}
	return k.last, nil
}
