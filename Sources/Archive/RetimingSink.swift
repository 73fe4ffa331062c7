// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import LinuxSystem

/// Passes changes on with other times.
public final class RetimingSink: ChangeSink {
    private let next: any ChangeSink
    private let time: (FileTime) -> FileTime

    /// - Parameter time: what a file's time becomes.
    public init(_ next: any ChangeSink, _ time: @escaping (FileTime) -> FileTime) {
        self.next = next
        self.time = time
    }

    /// Times later than `epoch` become it.
    public convenience init(_ next: any ChangeSink, clampingTo epoch: FileTime) {
        self.init(next) { min($0, epoch) }
    }

    public func begin(_ path: RawPath, _ metadata: EntryMetadata) throws {
        var metadata = metadata
        metadata.mtime = time(metadata.mtime)
        try next.begin(path, metadata)
    }

    public func write(_ bytes: UnsafeRawBufferPointer) throws { try next.write(bytes) }
    public func writeHole(_ count: Int64) throws { try next.writeHole(count) }
    public func end() throws { try next.end() }
    public func addWhiteout(_ path: RawPath) throws { try next.addWhiteout(path) }
    public func makeOpaque(_ directory: RawPath) throws { try next.makeOpaque(directory) }
}
