package certs

import (
	"fmt"
	"time"
)

// Alarm says what ends within Soon, or has ended, and what to do; empty: nothing.
func (c *Credentials) Alarm() string {
	if c == nil {
		return ""
	}
	own, authority := c.Expiry()
	now := c.now()
	switch {
	case !own.IsZero() && own.Sub(now) < Soon:
		return fmt.Sprintf("this node's certificate %s: `dvr cert renew %s` where the authority's key is, and put the file here in place of the old one; no restart is needed", ending(own, now), c.files.Cert)
	case !authority.IsZero() && authority.Sub(now) < Soon:
		return fmt.Sprintf("the authority in %s %s: make a new one, append its certificate to that file everywhere, then issue all certificates anew (operations guide, Secure)", c.files.CA, ending(authority, now))
	}
	return ""
}

// ending tells when a certificate ends, as the end of a sentence.
func ending(at, now time.Time) string {
	day := at.UTC().Format("2006-01-02 15:04 MST")
	if !at.After(now) {
		return "has expired at " + day
	}
	return fmt.Sprintf("expires in %d days, at %s", Days(at, now), day)
}

// Days are the whole days from now to at, less than 0 where it has passed.
func Days(at, now time.Time) int {
	d := at.Sub(now)
	if d < 0 {
		d -= 24*time.Hour - 1
	}
	return int(d / (24 * time.Hour))
}
