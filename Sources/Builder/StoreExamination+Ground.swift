// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import BuildOps
import Content
import Glibc
import LinuxSystem

/// What everything else stands on: the root's directories and what lies in `tmp/`.
extension StoreExamination {
    private static let directories = [
        "blobs", "blobs/sha256", "blobs/sha512", "snapshots", "tmp", "cache-mounts", "git",
    ]
    /// They come into being with the first use.
    private static let optional: Set = ["cache-mounts", "git"]

    /// Whether all that has to be there is there now.
    mutating func examineDirectories() throws -> Bool {
        var isUsable = true
        // Not the root itself: it may be a directory that the user made for more than this.
        for name in Self.directories {
            let path = root.appending(name)
            guard let status = try statusIfPresent(at: workingDirectory, path, following: true) else {
                if Self.optional.contains(name) { continue }
                try find(name, "the directory is gone", "made it again") { try makeDirectories(path, mode: 0o700) }
                isUsable = options.repairs
                continue
            }
            guard status.kind == .directory else {
                let aside = RawPath("\(path).damaged-\(FileTime.now.seconds)")
                try find(name, "it is no directory", "renamed it to \(aside.lastComponent ?? "")") {
                    try renameFile(path, to: workingDirectory, aside)
                    try makeDirectories(path, mode: 0o700)
                }
                isUsable = options.repairs
                continue
            }
            if status.uid != geteuid() {
                try find(
                    name,
                    "it belongs to user \(status.uid)",
                    advice: "give it back: chown --recursive USER \(path), or use the root directory of that user"
                )
            } else if status.permissions & 0o077 != 0 || status.permissions & 0o700 != 0o700 {
                let mode = String(status.permissions, radix: 8)
                try find(name, "its mode is \(mode), so that others can reach what is in it", "set it to 700") {
                    try setPermissions(at: workingDirectory, path, 0o700)
                }
            }
        }
        return isUsable
    }

    mutating func examineLeftovers() throws {
        guard try statusIfPresent(at: workingDirectory, root.appending("tmp"))?.kind == .directory else { return }
        let names = try StoreRoot.leftovers(in: root)
        guard !names.isEmpty else { return }
        let owners = names.filter { !$0.description.hasSuffix(".lock") }.count
        let root = root
        try find("tmp", "unfinished work of \(max(owners, 1)) dead processes", "removed it") {
            try StoreRoot.removeLeftovers(names, in: root)
        }
    }

    mutating func examineCacheMounts(_ store: Store) throws {
        for name in try CacheMounts(store.root).unusable(removes: options.repairs) {
            report.findings.append(
                StoreFinding(
                    subject: "cache-mounts/\(name)",
                    problem: "the directory of a cache mount is damaged",
                    action: options.repairs ? "removed it: the next step that wants it begins with a new one" : nil
                )
            )
        }
    }

    /// Galley's own mounts end with their processes; what is mounted inside the store was mounted by somebody else.
    mutating func examineMountPoints() throws {
        let text = try readFile("/proc/self/mountinfo", limit: 64 << 20)
        for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: false)
            guard words.count > 4 else { continue }
            let point = String(words[4])
            guard ["tmp/", "snapshots/"].contains(where: { point.hasPrefix("\(root)/\($0)") }) else { continue }
            try find(
                String(point.dropFirst("\(root)/".utf8.count)),
                "a file system is mounted here, which Galley did not do",
                advice: "unmount it: umount \(point)"
            )
        }
    }
}
