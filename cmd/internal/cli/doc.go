// Package cli is the dvr command: the verbs, their flags and their exit codes.
// The programs in cmd are one line each.
package cli
