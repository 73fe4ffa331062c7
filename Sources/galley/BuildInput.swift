// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import Builder
import Glibc
import LinuxSystem

/// Where a build's context and Dockerfile come from.
struct BuildInput {
    let context: String
    let recipe: BuildRequest.Recipe
    private let isTemporary: Bool

    /// Reads standard input when it is named. A context of `-` is a Dockerfile with an empty context.
    init(context: String, file: String?, temporaryDirectory: String?, standardInput: () throws -> [UInt8]) throws {
        if Self.isRemote(context) {
            throw BuilderError(
                .unsupported,
                "a context from the network is not supported yet: \(context)",
                nextStep: "download it and name the directory"
            )
        }
        guard context == "-" else {
            self.context = context
            recipe = file == "-" ? .text(try standardInput()) : .file(file)
            isTemporary = false
            return
        }
        if file == "-" {
            throw BuilderError(.invalidRequest, "can't use stdin for both build context and dockerfile")
        }
        let text = try standardInput()
        guard !Self.isArchive(text) else {
            throw BuilderError(
                .unsupported,
                "an archive on standard input as the build context is not supported yet",
                nextStep: "unpack it and name the directory"
            )
        }
        guard file == nil else {
            throw BuilderError(
                .invalidRequest,
                "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles"
            )
        }
        recipe = .text(text)
        self.context = try Self.emptyDirectory(in: temporaryDirectory)
        isTemporary = true
    }

    /// Removes what was made for the build.
    func remove() {
        if isTemporary { try? removeTree(RawPath(context)) }
    }

    /// tar (POSIX `ustar` magic at 257), or compressed with gzip, bzip2, xz or zstd.
    static func isArchive(_ bytes: [UInt8]) -> Bool {
        let magics: [[UInt8]] = [
            [0x1f, 0x8b], Array("BZh".utf8), [0xfd, 0x37, 0x7a, 0x58, 0x5a], [0x28, 0xb5, 0x2f, 0xfd],
        ]
        return magics.contains { bytes.starts(with: $0) }
            || (bytes.count >= 512 && bytes[257..<262].elementsEqual("ustar".utf8))
    }

    static func isRemote(_ context: String) -> Bool {
        ["http://", "https://", "git://", "ssh://", "git@", "github.com/", "oci-layout://", "docker-image://"]
            .contains { context.hasPrefix($0) }
    }

    private static func emptyDirectory(in parent: String?) throws -> String {
        let parent = parent.flatMap { $0.isEmpty ? nil : $0 } ?? "/tmp"
        var template = Array("\(parent)/galley-context-XXXXXX".utf8CString)
        guard let path = mkdtemp(&template) else {
            throw SystemError(errno: errno, operation: "mkdtemp", path: parent)
        }
        return String(cString: path)
    }
}
