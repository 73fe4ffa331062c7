// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildCache
public import BuildDefinition
import DockerfileSyntax
import LinuxSystem

/// Which files of a context a step reads.
public struct ContextSelection: Sendable {
    let copies: [FileCopy]
    let isMount: Bool

    /// What the vertex reads of one of its inputs.
    public init(_ op: BuildOp, input: Int) {
        if case .exec = op { isMount = true } else { isMount = false }
        switch op {
        case .file(let file):
            copies = file.actions.compactMap { action in
                guard case .copy(let copy) = action, copy.input == input else { return nil }
                return copy
            }
        case .exec(let exec):
            copies = exec.mounts.compactMap { mount in
                guard case .bind(input, let path) = mount.source else { return nil }
                return FileCopy(input: input, source: path, allowsWildcards: false, destination: "/")
            }
        case .image, .local, .git, .http, .merge: copies = []
        }
    }
}

extension ContextManifest {
    /// What is different now of the files that a step reads.
    ///
    /// - Parameter shown: how many lines are made; further files are counted only.
    public func changes(since former: ContextManifest, _ selection: ContextSelection, shown: Int) -> FileChanges {
        let selectors = selection.copies.flatMap { copy in
            [self, former].compactMap { CopySelector(copy, isMount: selection.isMount, in: $0) }
        }
        var changes: [(path: RawPath, text: String)] = []
        for directory in Set(directories).union(former.directories) {
            if content(of: directory) == former.content(of: directory) { continue }
            compare(directory, with: former) { path, old, new in
                let isDirectory = (new ?? old)?.kind == .directory
                let isSame = isDirectory && old?.kind == new?.kind
                let isSelected = selectors.contains {
                    $0.reads(path, isDirectory: isDirectory) && !(isSame && $0.readsOnlyContent(of: path))
                }
                guard isSelected, let text = Self.text(path, old, new) else { return }
                changes.append((path, text))
            }
        }
        changes.sort { $0.path < $1.path }
        return FileChanges(count: changes.count, lines: changes.prefix(shown).map(\.text))
    }

    /// Goes through the names of a directory that are not the same in both.
    private func compare(
        _ directory: RawPath,
        with former: ContextManifest,
        _ visit: (RawPath, Entry?, Entry?) -> Void
    ) {
        let (old, new) = (former.entries(directory), entries(directory))
        var (i, j) = (0, 0)
        while i < old.count || j < new.count {
            if j == new.count || i < old.count && old[i].name < new[j].name {
                visit(directory.appending(old[i].name), old[i], nil)
                i += 1
            } else if i == old.count || new[j].name < old[i].name {
                visit(directory.appending(new[j].name), nil, new[j])
                j += 1
            } else {
                if old[i] != new[j] { visit(directory.appending(new[j].name), old[i], new[j]) }
                (i, j) = (i + 1, j + 1)
            }
        }
    }

    private static func text(_ path: RawPath, _ old: Entry?, _ new: Entry?) -> String? {
        guard let old else { return new.map { "added \(path)\($0.kind == .directory ? "/" : "")" } }
        guard let new else { return "removed \(path)\(old.kind == .directory ? "/" : "")" }
        if old.kind != new.kind { return "replaced \(path): \(name(old.kind)) -> \(name(new.kind))" }
        if old.kind == .symlink {
            // A symlink's mode means nothing.
            guard old.content != new.content else { return nil }
            return "modified \(path): link to \(RawPath(bytes: old.content)) -> \(RawPath(bytes: new.content))"
        }
        var what = old.content == new.content ? [] : ["content"]
        if old.permissions != new.permissions { what.append("mode \(octal(old)) -> \(octal(new))") }
        return what.isEmpty ? nil : "modified \(path): \(what.joined(separator: ", "))"
    }

    private static func octal(_ entry: Entry) -> String {
        let digits = String(entry.permissions, radix: 8)
        return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
    }

    private static func name(_ kind: FileKind) -> String {
        switch kind {
        case .regular: "file"
        case .directory: "directory"
        case .symlink: "symlink"
        case .characterDevice, .blockDevice: "device"
        case .fifo: "fifo"
        case .socket: "socket"
        }
    }
}

/// Decides whether a copy reads a path.
private struct CopySelector {
    private let selection: PathSelection
    /// How many components of a path lead to what the filter's paths are relative to.
    private let depth: Int
    private let filter: CopyFilter?
    private let appliesFilter: Bool
    private let isMount: Bool

    /// Nil for a copy that the build itself could not do.
    init?(_ copy: FileCopy, isMount: Bool, in manifest: ContextManifest) {
        var literal = RawPath("")
        var rest = RawPath(copy.source).components[...]
        while let first = rest.first, !copy.allowsWildcards || !GlobPattern.hasWildcard(first.description) {
            literal = literal.appending(first)
            rest.removeFirst()
        }
        // With `--parents` no symlink is followed.
        let start =
            copy.parentsPivot != nil
            ? literal
            : try? resolveLinks(literal) { path in
                guard let entry = manifest.entry(path), entry.kind == .symlink else { return nil }
                return RawPath(bytes: entry.content)
            }
        guard let start else { return nil }
        do { filter = try CopyFilter(excluding: copy.excludePatterns) } catch { return nil }
        let isDeep = rest.contains { $0.bytes.starts(with: "**".utf8) }
        // With `**` nobody can say what the filter's paths are relative to.
        appliesFilter = !isDeep
        self.isMount = isMount
        let pivot = copy.parentsPivot.map { RawPath($0).components.count }
        depth = pivot ?? start.components.count + rest.count
        selection = PathSelection([Self.pattern(start, rest)])
    }

    func reads(_ path: RawPath, isDirectory: Bool) -> Bool {
        guard selection.match(path) == .whole else { return false }
        guard let filter, appliesFilter else { return true }
        let inside = path.components.dropFirst(depth).reduce(RawPath("")) { $0.appending($1) }
        if inside.isEmpty { return isDirectory || !filter.excludes(path.lastComponent ?? path) }
        return filter.verdict(inside) == .copied
    }

    /// Whether the path is a directory that gives what it holds, and nothing of itself.
    func readsOnlyContent(of path: RawPath) -> Bool { !isMount && path.components.count == depth }

    /// A pattern that matches the literal part as it is.
    private static func pattern(_ literal: RawPath, _ rest: ArraySlice<RawPath>) -> String {
        let special = Set("*?[\\".utf8)
        let escaped = literal.components.map { component in
            let bytes = component.bytes.flatMap { special.contains($0) ? [UInt8(ascii: "\\"), $0] : [$0] }
            return String(decoding: bytes, as: UTF8.self)
        }
        return (escaped + rest.map(\.description)).joined(separator: "/")
    }
}
