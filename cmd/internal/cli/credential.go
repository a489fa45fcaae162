package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// tokenPath is the file of the token that is taken where none is named.
func tokenPath() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "dvr", "token")
}

// credential is the token or JWT to call with; "": none. The file that nobody
// named is for nodes on this machine, and for those that TLS tells apart: it is
// not sent in the clear to whoever an address leads to.
func (c *connection) credential() (string, error) {
	if c.token != "" {
		return c.token, nil
	}
	path, named := c.tokenFile, c.tokenFile != ""
	if !named {
		if path = tokenPath(); path == "" || !c.trusted() {
			return "", nil
		}
	}
	token, err := readToken(path)
	if err != nil && !named && errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return token, err
}

// trusted reports whether every endpoint is on this machine or spoken to by TLS.
func (c *connection) trusted() bool {
	for _, e := range c.endpoints {
		if strings.HasPrefix(e, "https://") || !c.files.None() && !strings.HasPrefix(e, "http://") {
			continue
		}
		u, err := url.Parse("http://" + strings.TrimPrefix(e, "http://"))
		if err != nil {
			return false
		}
		host := u.Hostname()
		if a, err := netip.ParseAddr(host); host != "localhost" && host != "" && (err != nil || !a.IsLoopback()) {
			return false
		}
	}
	return true
}

// readToken reads a file that its owner alone can read.
func readToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("the token's file: %w", err)
	}
	if s.Mode().IsRegular() && s.Mode().Perm()&0o077 != 0 {
		return "", usageError{fmt.Errorf("%s can be read by others: chmod 600 %s", path, path)}
	}
	raw := make([]byte, 16<<10)
	n, err := f.Read(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	token := strings.TrimSpace(string(raw[:n]))
	if token == "" || strings.ContainsAny(token, " \r\n\t") {
		return "", usageError{fmt.Errorf("%s holds no token", path)}
	}
	return token, nil
}

// writeToken makes a file that its owner alone can read; one that is there stays.
func writeToken(path, token string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(token + "\n")
	return errors.Join(err, f.Close())
}

// sortedPrefixes puts prefixes into the order of the log. Errors: usageError.
func sortedPrefixes(values []string) ([]string, error) {
	list := make([]netip.Prefix, 0, len(values))
	for _, v := range values {
		p, err := netip.ParsePrefix(v)
		if err != nil {
			return nil, usageError{fmt.Errorf("--prefix %q: want a prefix such as 10.0.0.0/8", v)}
		}
		list = append(list, p)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return out, nil
}
