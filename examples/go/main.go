// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

// A greeting from inside the image: where it runs, how it was built, and what came along.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
)

func main() {
	fmt.Println("Hello from a thin image: built fat, shipped thin.")
	fmt.Printf("  platform   %s/%s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Printf("  built with %s, %s\n", runtime.Version(), linkage())
	fmt.Printf("  aboard     %s\n", aboard())
}

// linkage says whether the C library was linked in; without cgo a Go binary needs nothing but the kernel.
func linkage() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "no build information"
	}
	for _, setting := range info.Settings {
		if setting.Key == "CGO_ENABLED" && setting.Value == "0" {
			return "statically linked"
		}
	}
	return "with cgo"
}

// aboard says what the image carries besides the base: the program, and, had it been shipped too, the kitchen.
func aboard() string {
	path, err := os.Executable()
	if err != nil {
		return err.Error()
	}
	text := path
	if file, err := os.Stat(path); err == nil {
		text += fmt.Sprintf(" (%.1f MB)", float64(file.Size())/1e6)
	}
	if _, err := os.Stat("/usr/local/go"); err == nil {
		return text + ", and the whole Go toolchain"
	}
	return text + ", and no Go toolchain"
}
