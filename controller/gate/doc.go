// Package gate is what every HTTP listener of DVR has before its handlers:
// requests for a foreign host and those of foreign sites are refused, and who
// asks too often is turned away.
//
// A listener on loopback is reachable from every web page that its user opens.
// The page's script can send requests there (cross-site), and by a DNS name of
// its own that resolves to 127.0.0.1 it can read the answers too (rebinding).
// Checking Host, Origin and Sec-Fetch-Site closes both.
package gate
