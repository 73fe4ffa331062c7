// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// A build context in a directory of its own.
public final class BuildContext: Sendable {
    public let directory: ScratchDirectory
    public var path: String { directory.path.description }

    /// - Parameter files: paths and texts; parent directories are made.
    public init(_ dockerfile: String? = nil, _ files: [String: String] = [:]) throws {
        directory = try ScratchDirectory()
        if let dockerfile { try write("Dockerfile", dockerfile) }
        for (name, text) in files.sorted(by: { $0.key < $1.key }) { try write(name, text) }
    }

    public func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

    /// Writes the file anew; parent directories are made.
    public func write(_ name: String, _ bytes: [UInt8]) throws {
        let file = directory.file(name)
        if let slash = name.utf8.lastIndex(of: UInt8(ascii: "/")) {
            try makeDirectories(directory.file(String(name[..<slash])))
        }
        try replaceFile(file, bytes)
    }
}
