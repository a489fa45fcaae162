package cli

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"dvr/controller/certs"
	"dvr/controller/certs/authority"
)

// day is the unit of lifetimes.
const day = 24 * time.Hour

func certCommand(c *connection, shared []string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "cert", Short: "A small certificate authority, for those who have none",
		Long: "Make an authority and certificates for TLS between nodes, data planes and operators. The authority is a\n" +
			"directory (--dir); keep it where no node runs, its ca.key above all. Each program gets three files: ca.crt,\n" +
			"its own certificate and its key, which CA_FILE, CERT_FILE and KEY_FILE name (--cacert, --cert and --key of\n" +
			"the command line). The operations guide has the way from nothing to a secure cluster.",
	}
	var dir string
	cmd.PersistentFlags().StringVar(&dir, "dir", "./certs", "directory of the authority and of what it issued")
	for _, verb := range []*cobra.Command{certInit(c, &dir), certIssue(c, &dir), certRenew(c, &dir), certRevoke(c, &dir), certShow(c, &dir)} {
		withoutShared(verb, butOutput(shared))
		cmd.AddCommand(verb)
	}
	return cmd
}

// lifetime adds --days and reads it.
func lifetime(cmd *cobra.Command, usual time.Duration) func() (time.Duration, error) {
	var days int
	cmd.Flags().IntVar(&days, "days", int(usual/day), "how long it is valid")
	return func() (time.Duration, error) {
		if days < 1 || days > 36500 {
			return 0, usageError{fmt.Errorf("--days %d: want 1 to 36500", days)}
		}
		return time.Duration(days) * day, nil
	}
}

func certInit(c *connection, dir *string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "init", Short: "Make an authority in an empty directory", Args: cobra.NoArgs,
		Long: "Make ca.crt, which everybody trusts, ca.key, which stays here and is readable to its owner only, and ca.crl,\n" +
			"the list of what was revoked. Nothing that is there is written over.",
		Example: "  dvr cert init\n  dvr cert init --dir /root/dvr-ca --days 1825",
	}
	live := lifetime(cmd, authority.CALifetime)
	cmd.RunE = func(*cobra.Command, []string) error {
		d, err := live()
		if err != nil {
			return err
		}
		a, err := authority.Init(*dir, d, nil)
		if err != nil {
			return err
		}
		return c.certificates([]certificate{certificateOf(a.CAFile(), a.Cert, nil, time.Now())})
	}
	return cmd
}

func certIssue(c *connection, dir *string) *cobra.Command {
	var hosts []string
	cmd := &cobra.Command{
		Use: "issue KIND NAME", Short: "Make a key and a certificate: node, dataplane, operator or inspector", Args: cobra.ExactArgs(2),
		Long: "Make DIR/KIND/NAME.crt and its key, NAME.key, readable to its owner only.\n\n" +
			"  node       NODE_ID                a node; --host for each name and address by which others dial it\n" +
			"  dataplane  router                 a data plane, which can subscribe as that router only\n" +
			"  operator   who calls the API      the command line, scripts, the launcher; its name is the actor\n" +
			"  inspector  who reads etcd         etcdctl at the etcd client port, which shows all of the log\n\n" +
			"A node's certificate always has localhost, 127.0.0.1 and ::1.",
		Example: "  dvr cert issue node node-1 --host 10.0.0.1 --host node-1.example.net\n  dvr cert issue dataplane r1\n  dvr cert issue operator alice@example.net --days 30",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return []string{"node", "dataplane", "operator", "inspector"}, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "of a node: a name or address by which it is dialled, without port; repeatable")
	live := lifetime(cmd, authority.Lifetime)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		d, err := live()
		if err != nil {
			return err
		}
		id := certs.Identity{Kind: certs.Kind(args[0]), Name: args[1]}
		if err := id.Check(); err != nil {
			return usageError{err}
		}
		a, err := authority.Open(*dir)
		if err != nil {
			return err
		}
		if id.Kind == certs.Node {
			for _, h := range []string{"localhost", "127.0.0.1", "::1"} {
				if !slices.Contains(hosts, h) {
					hosts = append(hosts, h)
				}
			}
		}
		cert, err := a.Issue(id, hosts, d)
		if err != nil {
			return err
		}
		return c.certificates([]certificate{certificateOf(a.Files(id).Cert, cert, nil, time.Now())})
	}
	return cmd
}

func certRenew(c *connection, dir *string) *cobra.Command {
	var within int
	cmd := &cobra.Command{
		Use: "renew [FILE...]", Short: "Replace certificates by ones that end later", Args: cobra.ArbitraryArgs,
		Long: "Replace each certificate by one that says the same and ends later; the key stays. Without FILE all below --dir\n" +
			"that end within --within days, which a daily job may ask for. Put the new file in place of the old one where\n" +
			"it is used: it is read by itself, nothing is restarted.",
		Example: "  dvr cert renew ./certs/node/node-1.crt\n  dvr cert renew --within 30",
	}
	cmd.Flags().IntVar(&within, "within", 30, "without FILE: those that end within so many days")
	live := lifetime(cmd, authority.Lifetime)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		d, err := live()
		if err != nil {
			return err
		}
		a, err := authority.Open(*dir)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			all, err := below(*dir)
			if err != nil {
				return err
			}
			for _, k := range all {
				if k.cert != nil && !k.cert.IsCA && !k.Revoked && time.Until(k.cert.NotAfter) < time.Duration(within)*day {
					args = append(args, k.File)
				}
			}
		}
		renewed := []certificate{}
		for _, file := range args {
			cert, err := a.Renew(file, d)
			if err != nil {
				return err
			}
			renewed = append(renewed, certificateOf(file, cert, nil, time.Now()))
		}
		return c.certificates(renewed)
	}
	return cmd
}

func certRevoke(c *connection, dir *string) *cobra.Command {
	var serials []string
	cmd := &cobra.Command{
		Use: "revoke [FILE...]", Short: "Take certificates back before they end", Args: cobra.ArbitraryArgs,
		Long: "Add certificates to ca.crl, by file, with those of the same key that renewals have made or replaced and that have not ended, or\n" +
			"by serial number (dvr cert show), that one alone. Put the new ca.crl where CRL_FILE of every node names it: it\n" +
			"is read by itself, and connections of these certificates are cut within seconds.\n" +
			"A node is also removed from its cluster: dvr cluster remove.",
		Example: "  dvr cert revoke ./certs/dataplane/r1.crt\n  dvr cert revoke --serial 4f2c9a...",
	}
	cmd.Flags().StringSliceVar(&serials, "serial", nil, "serial number in hexadecimal, where the certificate is not at hand; repeatable")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args)+len(serials) == 0 {
			return usageError{errors.New("name a certificate's file, or --serial")}
		}
		var numbers []*big.Int
		for _, s := range serials {
			n, ok := new(big.Int).SetString(strings.ReplaceAll(strings.TrimPrefix(s, "0x"), ":", ""), 16)
			if !ok || n.Sign() <= 0 {
				return usageError{fmt.Errorf("--serial %q is no number in hexadecimal", s)}
			}
			numbers = append(numbers, n)
		}
		a, err := authority.Open(*dir)
		if err != nil {
			return err
		}
		for _, file := range args {
			list, err := certs.ReadCertificates(file)
			if err != nil {
				return err
			}
			if err := list[0].CheckSignatureFrom(a.Cert); err != nil {
				return fmt.Errorf("%s: %w", file, authority.ErrForeign)
			}
			serials, err := a.Serials(list[0])
			if err != nil {
				return err
			}
			numbers = append(numbers, serials...)
		}
		added, err := a.Revoke(numbers...)
		if err != nil {
			return err
		}
		raw, err := json.Marshal(map[string]any{"file": a.CRLFile(), "added": added})
		if err != nil {
			return err
		}
		body, err := decode(raw)
		if err != nil {
			return err
		}
		return c.print(raw, body, func(t *table, _ any) {
			t.line("%s has %d more; put it in place of the old one where CRL_FILE names it.", a.CRLFile(), added)
		})
	}
	return cmd
}

func certShow(c *connection, dir *string) *cobra.Command {
	return &cobra.Command{
		Use: "show [FILE...]", Short: "Whose certificates are, and when they end", Args: cobra.ArbitraryArgs,
		Long:    "Show certificates: without FILE the authority's and all that it issued below --dir. The key is not needed.",
		Example: "  dvr cert show\n  dvr cert show /etc/dvr/node-1.crt -o json",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				all, err := below(*dir)
				if err != nil {
					return err
				}
				if len(all) == 0 {
					return fmt.Errorf("%w: no certificate below %s", authority.ErrNone, *dir)
				}
				return c.certificates(all)
			}
			var all []certificate
			for _, file := range args {
				list, err := certs.ReadCertificates(file)
				if err != nil {
					return err
				}
				for _, cert := range list {
					all = append(all, certificateOf(file, cert, nil, time.Now()))
				}
			}
			return c.certificates(all)
		},
	}
}

// certificate is one as it is shown.
type certificate struct {
	File     string   `json:"file"`
	Kind     string   `json:"kind"` // authority, node, …; empty: not one of ours
	Name     string   `json:"name"`
	Hosts    []string `json:"hosts,omitempty"`
	Serial   string   `json:"serial"`
	Issuer   string   `json:"issuer"`
	NotAfter string   `json:"not_after"`
	Days     int      `json:"days_left"`
	Revoked  bool     `json:"revoked,omitempty"`

	cert *x509.Certificate
}

func certificateOf(file string, cert *x509.Certificate, revoked []*big.Int, now time.Time) certificate {
	k := certificate{
		File: file, Name: cert.Subject.CommonName, Serial: cert.SerialNumber.Text(16), Issuer: cert.Issuer.CommonName,
		NotAfter: cert.NotAfter.UTC().Format(time.RFC3339), Days: certs.Days(cert.NotAfter, now), Hosts: authority.Hosts(cert), cert: cert,
		Revoked: slices.ContainsFunc(revoked, func(n *big.Int) bool { return n.Cmp(cert.SerialNumber) == 0 }),
	}
	if cert.IsCA {
		k.Kind = "authority"
	} else if id, err := certs.Of(cert); err == nil {
		k.Kind, k.Name = string(id.Kind), id.Name
	}
	return k
}

// below are the certificates in an authority's directory, the authority first.
func below(dir string) ([]certificate, error) {
	var revoked []*big.Int
	a, err := authority.Open(dir)
	switch {
	case err == nil:
		if revoked, err = a.Revoked(); err != nil {
			return nil, err
		}
	case !errors.Is(err, authority.ErrNone):
		return nil, err
	}
	var out []certificate
	for _, pattern := range []string{"ca.crt", "node/*.crt", "dataplane/*.crt", "operator/*.crt", "inspector/*.crt"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			list, err := certs.ReadCertificates(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, cert := range list {
				out = append(out, certificateOf(file, cert, revoked, time.Now()))
			}
		}
	}
	return out, nil
}

// certificates prints a list.
func (c *connection) certificates(all []certificate) error {
	if err := c.checkOutput(); err != nil {
		return err
	}
	raw, err := json.Marshal(map[string]any{"certificates": all})
	if err != nil {
		return err
	}
	body, err := decode(raw)
	if err != nil {
		return err
	}
	return c.print(raw, body, func(t *table, _ any) {
		t.head("KIND", "NAME", "ENDS", "DAYS", "HOSTS", "SERIAL", "FILE")
		for _, k := range all {
			days := strconv.Itoa(k.Days)
			switch {
			case k.Revoked:
				days = "revoked"
			case k.Days < 0:
				days = "expired"
			}
			t.row(k.Kind, k.Name, k.NotAfter, days, strings.Join(k.Hosts, ","), k.Serial, k.File)
		}
	})
}
