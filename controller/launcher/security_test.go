package launcher

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"dvr/controller/certs"
	"dvr/controller/certs/authority"
)

// TestClearTextStays: a cluster that was made in clear text is not turned by a flag.
func TestClearTextStays(t *testing.T) {
	r := newRig(t)
	l, err := open(r.o)
	if err != nil {
		t.Fatal(err)
	}
	l.release()
	r.o.TLS = true
	if _, err := open(r.o); err == nil || !strings.Contains(err.Error(), "made in clear text") {
		t.Errorf("turned: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.o.DataDir, certificatesName)); !os.IsNotExist(err) {
		t.Errorf("it left certificates: %v", err)
	}
}

// TestCertificatesAreKept: they are issued once, the same after a restart, and
// renewed before they end, by whoever starts next or has waited.
func TestCertificatesAreKept(t *testing.T) {
	dir := t.TempDir()
	l, err := listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := openCertificates(dir, true, l, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	id := certs.Identity{Kind: certs.Node, Name: "node1"}
	serial := func(c *certificates) string {
		t.Helper()
		f, err := c.files(id)
		if err != nil {
			t.Fatal(err)
		}
		list, err := certs.ReadCertificates(f.Cert)
		if err != nil {
			t.Fatal(err)
		}
		return list[0].SerialNumber.Text(16)
	}
	first := serial(c)
	again, err := openCertificates(dir, false, l, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if got := serial(again); got != first {
		t.Errorf("issued anew: %s, %s", first, got)
	}
	if _, err := again.authority.Renew(again.authority.Files(id).Cert, renewBefore-time.Hour); err != nil {
		t.Fatal(err)
	}
	serial(again)
	if list, err := certs.ReadCertificates(again.authority.Files(id).Cert); err != nil || time.Until(list[0].NotAfter) < authority.Lifetime-time.Hour {
		t.Errorf("what ends soon was not renewed: it ends at %v, %v", list[0].NotAfter, err)
	}
	if err := os.Remove(again.authority.CRLFile()); err != nil {
		t.Fatal(err)
	}
	if _, err := openCertificates(dir, false, l, zap.NewNop()); err == nil {
		t.Error("without its list of what was revoked")
	}
}
