// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

/// Takes what `TarReader` finds, in the order of the archive.
///
/// Each entry is `visitEntry`, then for regular files `visitData` and `visitHole` in file order until the file's size is
/// reached, then `visitEnd`. The bytes are valid only during the call.
public protocol TarVisitor {
    mutating func visitEntry(_ entry: TarEntry) throws
    mutating func visitData(_ bytes: UnsafeRawBufferPointer) throws
    /// The next `count` bytes of the file are zeros that the archive does not store.
    mutating func visitHole(_ count: Int64) throws
    mutating func visitEnd() throws
}
