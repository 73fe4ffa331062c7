// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// Takes the changes that make up a layer, wherever they come from and whether they become a directory or an archive.
///
/// Paths are relative to the layer's root, without leading slash and without `.` or `..`; empty is the root itself.
/// A regular file is `begin`, then its bytes in order through `write` and `writeHole` until its size is reached, then
/// `end`; every other entry is `begin` and `end`. After an error nothing more may be called.
public protocol ChangeSink: AnyObject {
    /// Adds or replaces what is at `path`.
    func begin(_ path: RawPath, _ metadata: EntryMetadata) throws
    func write(_ bytes: UnsafeRawBufferPointer) throws
    /// The next `count` bytes of the file are zeros.
    func writeHole(_ count: Int64) throws
    func end() throws
    /// Hides what lower layers have at `path`; never what this layer has there (OCI image-spec, layer.md, "Whiteouts").
    func addWhiteout(_ path: RawPath) throws
    /// Hides everything that lower layers have in `directory`.
    func makeOpaque(_ directory: RawPath) throws
}
