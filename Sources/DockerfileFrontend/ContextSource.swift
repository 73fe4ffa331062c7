// SPDX-License-Identifier: Apache-2.0
// Copyright the Galley authors

public import BuildDefinition
public import OCI

/// Where files come from that no stage makes: the build context, or one that `--build-context` names.
public enum ContextSource: Hashable, Sendable {
    /// A directory of this machine, by the name that ``LocalOp`` uses. The patterns are those of its ignore file.
    case local(name: String, ignorePatterns: [String])
    case git(GitOp)
    /// A file.
    case http(HTTPOp)
    /// An archive, unpacked.
    case archive(HTTPOp)
    /// `docker-image://`.
    case image(Reference)
    /// `oci-layout://`: a layout's absolute path and what its index calls the image.
    case layout(path: String, reference: Reference)
    /// `target:`: a stage of the same Dockerfile.
    case stage(String)
}
