// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import LinuxSystem

/// Finds the numbers behind `--chown=user:group` in an image's own passwd and group files.
struct OwnerLookup {
    /// Root of the tree that the files are copied into.
    let root: CInt
    /// False for a copy onto nothing: `--link`, or a stage from scratch that has no files yet.
    var hasImage = true

    /// A number given as user without a group is the group's number too; a name brings its group from passwd (as in
    /// BuildKit).
    func owner(_ text: String) throws -> (uid: UInt32, gid: UInt32) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        if let user = parts.first, !user.isEmpty {
            if let number = UInt32(user) {
                (uid, gid) = (number, number)
            } else {
                guard let fields = try fields(of: user, in: "etc/passwd"), fields.count >= 4,
                    let found = UInt32(fields[2]), let group = UInt32(fields[3])
                else { throw unknown("user", user, "/etc/passwd") }
                (uid, gid) = (found, group)
            }
        }
        if parts.count > 1, !parts[1].isEmpty {
            if let number = UInt32(parts[1]) {
                gid = number
            } else {
                guard let fields = try fields(of: parts[1], in: "etc/group"), fields.count >= 3,
                    let found = UInt32(fields[2])
                else { throw unknown("group", parts[1], "/etc/group") }
                gid = found
            }
        }
        // To the kernel this number means "leave it as it is".
        guard uid != .max, gid != .max else {
            throw BuildOpsError(.unknownUser, "\"\(text)\" is not an owner: numbers end at \(UInt32.max - 1)")
        }
        return (uid, gid)
    }

    private func fields(of name: String, in file: String) throws -> [String]? {
        let fd: OwnedFD
        do throws(SystemError) {
            fd = try openInRoot(root, RawPath(file), [.readOnly, .nonBlocking])
        } catch {
            if error.isNotFound { return nil }
            throw error
        }
        guard try status(of: fd.raw).kind == .regular else { return nil }
        // Bytes: a line end or a colon may be one grapheme with what follows it.
        for line in try readAll(fd.raw, limit: 8 << 20, path: file).split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            guard fields.first?.elementsEqual(name.utf8) == true else { continue }
            return fields.map { String(decoding: $0, as: UTF8.self) }
        }
        return nil
    }

    private func unknown(_ kind: String, _ name: String, _ file: String) -> BuildOpsError {
        guard hasImage else {
            return BuildOpsError(
                .unknownUser,
                "unable to find \(kind) \(name): there is no image below this copy whose \(file) could be read",
                nextStep: "use a number; a copy with --link, or the first one FROM scratch, knows no names"
            )
        }
        return BuildOpsError(
            .unknownUser,
            "unable to find \(kind) \(name): no matching entry in \(file) of the image",
            nextStep: "create the \(kind) in an earlier step of this stage, or use a number"
        )
    }
}
