// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

import DockerfileSyntax
import LinuxSystem

/// Reads a build's Dockerfile and ignore file.
struct RecipeReader {
    let context: String

    struct Recipe {
        /// As it is called in messages.
        var name: String
        var bytes: [UInt8]
        /// The file's path, when it is a file.
        var path: String?
    }

    init(context: String) throws {
        self.context = try absolutePath(context)
        let status: FileStatus?
        do throws(SystemError) {
            status = try statusIfPresent(at: workingDirectory, RawPath(self.context), following: true)
        } catch {
            throw BuilderError(.notFound, "unable to prepare context: path \"\(context)\": \(error.reason)")
        }
        guard let status else {
            throw BuilderError(
                .notFound,
                "unable to prepare context: path \"\(context)\" not found",
                nextStep: "give the directory that holds the Dockerfile and what it copies, often just \".\""
            )
        }
        guard status.kind == .directory else {
            throw BuilderError(
                .notFound,
                "unable to prepare context: \"\(context)\" is not a directory",
                nextStep: "the last argument is the context directory; name the Dockerfile with -f"
            )
        }
    }

    func recipe(_ source: BuildRequest.Recipe) throws -> Recipe {
        switch source {
        case .text(let bytes):
            return Recipe(name: "Dockerfile", bytes: bytes)
        case .file(let given):
            let path = try given.map(absolutePath) ?? context + "/Dockerfile"
            do throws(SystemError) {
                let bytes = try readFile(RawPath(path), limit: 64 << 20)
                return Recipe(name: RawPath(path).lastComponent?.description ?? "Dockerfile", bytes: bytes, path: path)
            } catch {
                // As BuildKit: a file in lower case does where none was named.
                if given == nil, error.isNotFound,
                    let bytes = try? readFile(RawPath(context + "/dockerfile"), limit: 64 << 20)
                {
                    return Recipe(name: "dockerfile", bytes: bytes, path: context + "/dockerfile")
                }
                let shown = given ?? "Dockerfile"
                throw BuilderError(
                    .notFound,
                    "failed to read dockerfile: open \(shown): \(error.reason.lowercased())",
                    nextStep: given == nil
                        ? "there is no Dockerfile in \(context); name one with -f" : "check the path given with -f"
                )
            }
        }
    }

    /// The patterns of `<Dockerfile>.dockerignore` beside the Dockerfile, else of the context's `.dockerignore`.
    func ignorePatterns(_ recipe: Recipe) throws -> [String] {
        let candidates = [recipe.path.map { $0 + ".dockerignore" }, context + "/.dockerignore"].compactMap { $0 }
        for path in candidates {
            let bytes: [UInt8]
            do throws(SystemError) {
                bytes = try readFile(RawPath(path), limit: 16 << 20)
            } catch {
                if error.isNotFound { continue }
                throw BuilderError(.notFound, "cannot read \(path): \(error.reason)")
            }
            do {
                return try IgnoreFile(parsing: String(decoding: bytes, as: UTF8.self)).patterns
            } catch {
                throw BuilderError(.invalidRequest, "\(path): \(error)")
            }
        }
        return []
    }
}
