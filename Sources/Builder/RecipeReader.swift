// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import LinuxSystem

/// A build's Dockerfile.
struct Recipe {
    /// As it is called in messages.
    var name: String
    var bytes: [UInt8]
    /// The file's path, when it is a file of this machine.
    var path: String?
}

/// Reads Dockerfiles and ignore files.
enum RecipeReader {
    static let limit = 64 << 20
    /// In the order in which they are looked for; the last is Buildah's.
    static let defaultNames = ["Dockerfile", "dockerfile", "Containerfile"]

    /// A Dockerfile of this machine.
    ///
    /// - Parameter path: absolute or relative to the working directory; nil looks for one in `context`.
    static func local(_ path: String?, context: String) throws -> Recipe {
        guard let path else {
            for name in defaultNames {
                let path = context + "/" + name
                if let bytes = try read(path, shown: name, isRequired: false) {
                    return Recipe(name: name, bytes: bytes, path: path)
                }
            }
            throw missing("Dockerfile", nextStep: "there is no Dockerfile in \(context); name one with -f")
        }
        let absolute = try absolutePath(path)
        guard let bytes = try read(absolute, shown: path, isRequired: true) else {
            throw missing(path, nextStep: "check the path given with -f")
        }
        return Recipe(name: RawPath(absolute).lastComponent?.description ?? "Dockerfile", bytes: bytes, path: absolute)
    }

    /// A Dockerfile of a tree that others made: no symlink leads out of it.
    static func inside(_ root: CInt, _ path: String?, what: String) throws -> Recipe {
        for name in path.map({ [$0] }) ?? defaultNames {
            do throws(SystemError) {
                let file = try openInRoot(root, RawPath(name), [.readOnly, .nonBlocking])
                guard try status(of: file.raw).kind == .regular else {
                    throw SystemError(errno: 21, operation: "read", path: name)
                }
                let bytes = try readAll(file.raw, limit: limit, path: name)
                return Recipe(name: RawPath(name).lastComponent?.description ?? name, bytes: bytes)
            } catch {
                if error.isNotFound { continue }
                throw unreadable(name, error)
            }
        }
        throw missing(
            path ?? "Dockerfile",
            nextStep: path == nil
                ? "there is no Dockerfile in \(what); name one with -f" : "-f is a path inside \(what)"
        )
    }

    /// The patterns of `<Dockerfile>.dockerignore` beside the Dockerfile, else of the context's own ignore file.
    static func ignorePatterns(_ recipe: Recipe, context: String) throws -> [String] {
        if let path = recipe.path, let patterns = try patterns(path + ".dockerignore") { return patterns }
        return try ignorePatterns(context: context)
    }

    /// The patterns of a directory's `.dockerignore`, or of Buildah's `.containerignore` where there is none.
    static func ignorePatterns(context: String) throws -> [String] {
        try patterns(context + "/.dockerignore") ?? patterns(context + "/.containerignore") ?? []
    }

    private static func patterns(_ path: String) throws -> [String]? {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try readFile(RawPath(path), limit: 16 << 20)
        } catch {
            if error.isNotFound { return nil }
            throw BuilderError(.notFound, "cannot read \(path): \(error.reason)")
        }
        do {
            return try IgnoreFile(parsing: String(decoding: bytes, as: UTF8.self)).patterns
        } catch {
            throw BuilderError(.invalidRequest, "\(path): \(error)")
        }
    }

    private static func read(_ path: String, shown: String, isRequired: Bool) throws -> [UInt8]? {
        do throws(SystemError) {
            return try readFile(RawPath(path), limit: limit)
        } catch {
            if error.isNotFound { return nil }
            // A directory of that name may lie there for something else.
            if !isRequired, error.errno == 21 { return nil }
            throw unreadable(shown, error)
        }
    }

    private static func missing(_ name: String, nextStep: String) -> BuilderError {
        BuilderError(
            .notFound,
            "failed to read dockerfile: open \(name): no such file or directory",
            nextStep: nextStep
        )
    }

    private static func unreadable(_ name: String, _ error: SystemError) -> BuilderError {
        BuilderError(
            .notFound,
            "failed to read dockerfile: open \(name): \(error.reason.lowercased())",
            nextStep: "check the path given with -f"
        )
    }
}
