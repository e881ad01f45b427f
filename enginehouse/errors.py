"""The one tree of errors: what is wrong, whose fault it is, whether it is retried, what to do next.

Every class below is a published error code. An instance adds a sentence for this case
(``detail``) and, where it helps, the place (``where``: field names, operator, file, line).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, ClassVar

from pydantic import BaseModel, Field


class Fault(StrEnum):
    """Whose fault a failure is. Only the farm's own faults are tried again."""

    MODEL = "model"
    REQUEST = "request"
    TOOLCHAIN = "toolchain"
    FARM = "farm"


class Failure(BaseModel):
    """An error as data: stored with a build, sent by workers, shown to people."""

    code: str
    title: str
    detail: str
    fault: Fault
    retried: bool = False
    advice: str = ""
    where: dict[str, Any] = Field(default_factory=dict)


class Problem(BaseModel):
    """RFC 9457 problem details, the body of every HTTP error (``application/problem+json``)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str = ""
    code: str
    fault: Fault
    advice: str = ""
    where: dict[str, Any] = Field(default_factory=dict)
    request_id: str = ""


class EnginehouseError(Exception):
    """Root of the tree. Never raised itself."""

    code: ClassVar[str] = "farm.internal"
    title: ClassVar[str] = "The farm made a mistake"
    status: ClassVar[int] = 500
    fault: ClassVar[Fault] = Fault.FARM
    retried: ClassVar[bool] = False
    advice: ClassVar[str] = "Report it with the request id and the farm's log."

    def __init__(self, detail: str = "", /, *, advice: str | None = None, **where: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.where = where
        self.hint = self.advice if advice is None else advice

    def failure(self) -> Failure:
        """This error as data."""
        return Failure(
            code=self.code,
            title=self.title,
            detail=self.detail,
            fault=self.fault,
            retried=self.retried,
            advice=self.hint,
            where=self.where,
        )


class InternalError(EnginehouseError):
    """A bug of ours: anything that no other code names."""


# --- the request -----------------------------------------------------------------------------


class RequestError(EnginehouseError):
    """The request cannot be taken as it is."""

    code = "request.invalid"
    title = "The request is not valid"
    status = 422
    fault = Fault.REQUEST
    advice = "Correct the named fields; the API page at /openapi describes each of them."


class BadRequest(RequestError):
    """The bytes of the request cannot be read (not JSON, a broken header)."""

    code = "request.malformed"
    title = "The request cannot be read"
    status = 400


class UnsupportedMediaType(RequestError):
    """A body of a kind that this route does not take."""

    code = "request.unsupported_media_type"
    title = "The body's media type is not taken here"
    status = 415
    advice = "Send the Content-Type that the message names."


class Unauthenticated(RequestError):
    """No token and no session, or one that the farm does not know."""

    code = "request.unauthenticated"
    title = "A token is required"
    status = 401
    advice = "Send 'Authorization: Bearer TOKEN', or set ENGINEHOUSE_TOKEN for the command line; on a page, sign in."


class Forbidden(RequestError):
    """It is known who asks, and they may not do this."""

    code = "request.forbidden"
    title = "This is not allowed"
    status = 403
    advice = "Use a token with the scope that the message names, or ask an admin of the project for a role that has it."


class SignInFailed(RequestError):
    """A name and a password that do not belong together."""

    code = "request.sign_in_failed"
    title = "The name or the password is wrong"
    status = 401
    advice = "Try again; a farm's operator sets a new password ('enginehouse person set NAME --password-stdin')."


class SignInRefused(RequestError):
    """The provider knows the person, and this farm does not let them in."""

    code = "request.sign_in_refused"
    title = "This farm does not let you in"
    status = 403
    advice = "Ask the farm's operator to enter your mail address ('enginehouse person create')."


class ProviderFailed(RequestError):
    """What came back from the identity provider cannot be trusted, or is no sign-in."""

    code = "request.provider_failed"
    title = "The sign-in with the provider failed"
    status = 400
    advice = "Begin again on the sign-in page; the farm's log holds what the provider said."


class TooManyRequests(RequestError):
    """More requests of one kind than one caller may send in a while."""

    code = "request.too_many"
    title = "Too many requests"
    status = 429
    advice = "Go on after the seconds in Retry-After; the command line does it by itself."


class QuotaExceeded(RequestError):
    """The project has as much of it as it may have."""

    code = "request.quota_exceeded"
    title = "The project's quota is used up"
    status = 429
    advice = "Wait until builds have ended, or ask the farm's operator for a larger quota ('enginehouse project set')."


class NotFound(RequestError):
    """No such thing, or not for this project to see."""

    code = "request.not_found"
    title = "Not found"
    status = 404
    advice = "Check the id; 'enginehouse job list', 'model list' and 'artifact list' show what there is."


class MethodNotAllowed(RequestError):
    """The address exists, the method does not."""

    code = "request.method_not_allowed"
    title = "Method not allowed"
    status = 405


class Conflict(RequestError):
    """The thing is not in a state that allows this."""

    code = "request.conflict"
    title = "Not possible in the present state"
    status = 409
    advice = "Look at the thing's present state and try what it allows."


class NoReport(Conflict):
    """Something is asked of a build's report, and there is none."""

    code = "request.no_report"
    title = "The build has no report"
    advice = "Wait for the build's end ('enginehouse job wait JOB'); a build that failed early leaves no report."


class ArtifactEvicted(RequestError):
    """An artifact was not used for long, or its room was needed, and its files are gone."""

    code = "artifact.evicted"
    title = "The artifact's files were removed"
    status = 410
    advice = "Submit the same again: it is built anew. 'enginehouse artifact pin' keeps what must stay."


class TooLarge(RequestError):
    """More bytes than the farm takes."""

    code = "request.too_large"
    title = "Too many bytes"
    status = 413
    advice = "Send less, or ask the farm's operator to raise the limit that the message names."


class RangeNotSatisfiable(RequestError):
    """A byte range outside the file."""

    code = "request.range_not_satisfiable"
    title = "The byte range lies outside the file"
    status = 416


# --- targets ---------------------------------------------------------------------------------


class TargetError(RequestError):
    """A target that is written wrong."""

    code = "target.invalid"
    title = "The target is not valid"
    advice = "Write BACKEND:PRECISION or BACKEND:PRECISION@TAG+TAG, for example openvino:fp16@cpu."


class UnknownBackend(TargetError):
    """No backend of that name."""

    code = "target.unknown_backend"
    title = "Unknown backend"
    advice = "'enginehouse worker list' shows the backends that this farm's workers offer."


class UnknownPrecision(TargetError):
    """No precision of that name, or not for this backend."""

    code = "target.unknown_precision"
    title = "Unknown precision"
    advice = "'enginehouse worker list' shows the precisions of each backend."


class InvalidOption(TargetError):
    """An option that the backend does not take, or a value outside its schema."""

    code = "target.invalid_option"
    title = "The backend does not take this option"
    advice = "'enginehouse worker list --json' holds the JSON schema of each backend's options."


class InvalidConstraint(TargetError):
    """A constraint in a target's requirement that cannot be read."""

    code = "target.invalid_constraint"
    title = "The constraint cannot be read"
    advice = (
        "Write FACT OPERATOR VALUE, as in 'cpu.cores>=8' or 'cpu.isa has avx2'; docs/constraints.md lists the facts."
    )


class UnsupportedFormat(TargetError):
    """The backend does not read models of this format."""

    code = "target.unsupported_format"
    title = "The backend does not take this model format"


class DatasetRequired(TargetError):
    """A precision that is calibrated, without samples to calibrate with."""

    code = "target.dataset_required"
    title = "This precision needs a dataset"
    advice = (
        "Push samples ('enginehouse dataset push') and name them in the job; or set the option calibration=generated, "
        "which the report will say."
    )


class BaselineNotOffered(TargetError):
    """A baseline and a target that no worker can build both of."""

    code = "target.baseline_not_offered"
    title = "No worker can measure the target against this baseline"
    advice = "Name baselines that a worker offers beside the target; 'enginehouse worker list' shows who offers what."


class InvalidShapes(RequestError):
    """Shapes or profiles that the model does not take."""

    code = "request.invalid_shapes"
    title = "The shapes do not fit the model"
    advice = "'enginehouse model inspect' shows each input's shape; give full shapes, with min ≤ opt ≤ max in profiles."


class BoundsRequired(RequestError):
    """Dynamic dimensions without bounds, for a backend that needs them."""

    code = "target.bounds_required"
    title = "The backend needs bounds for dynamic dimensions"
    advice = "Give 'shapes', 'profiles' (min, opt, max per input) or 'observed_shapes' for the named dimensions."


# --- uploads, models, datasets ----------------------------------------------------------------


class DigestMismatch(RequestError):
    """The bytes that came are not the bytes that were declared."""

    code = "upload.sha256_mismatch"
    title = "The SHA-256 does not match"
    advice = "Hash the file again and repeat the upload; nothing was stored."


class UploadIncomplete(RequestError):
    """Completing an upload that lacks bytes."""

    code = "upload.incomplete"
    title = "The upload is not complete"
    status = 409
    advice = "Send the parts that the message names, then complete it again."


class ModelUnreadable(RequestError):
    """The bytes are not a model that the farm can read."""

    code = "model.unreadable"
    title = "The model cannot be read"
    fault = Fault.MODEL
    advice = "Check the file with onnx.checker.check_model and upload it again."


class ModelFormatUnsupported(ModelUnreadable):
    """A format that the farm does not take."""

    code = "model.format_unsupported"
    title = "The model's format is not taken"
    advice = "Export the model to ONNX, for example with torch.onnx.export(..., dynamo=True)."


class ModelExecutesCode(ModelFormatUnsupported):
    """A file that runs its author's code when it is loaded."""

    code = "model.executes_code"
    title = "Loading the model would run code from it"
    advice = "Save it in a form that holds a graph only: torch.export.save(), a .keras file without Lambda, or ONNX."


class ExternalDataOutside(ModelUnreadable):
    """External data that points outside the upload."""

    code = "model.external_data_outside"
    title = "External data points outside the upload"
    advice = "Save the model again so that its external data lies in files beside it, without '..' or absolute paths."


class ExternalDataMissing(ModelUnreadable):
    """External data that was not uploaded with the model."""

    code = "model.external_data_missing"
    title = "External data is missing"
    advice = "Push the model from the folder that holds its external data, so that both are uploaded."


class DatasetUnreadable(RequestError):
    """The bytes are not a dataset that the farm can read."""

    code = "dataset.unreadable"
    title = "The dataset cannot be read"
    advice = (
        "Push a .npz file (one array per input, first axis = samples), folders INPUT/NAME.npy with one array per "
        "sample, or pictures with a recipe.json."
    )


class DatasetMismatch(RequestError):
    """The dataset does not fit the model's inputs."""

    code = "dataset.mismatch"
    title = "The dataset does not fit the model"
    advice = "Name arrays after the model's inputs; one sample has an input's type and full shape, batch axis included."


class DatasetNotFinite(DatasetUnreadable):
    """NaN or Inf among the samples."""

    code = "dataset.not_finite"
    title = "The dataset holds NaN or Inf"
    advice = "Remove the named samples; ranges and comparisons over them say nothing."


class DatasetTooSmall(RequestError):
    """Too few samples to calibrate with."""

    code = "dataset.too_small"
    title = "The dataset has too few samples"
    advice = "Calibrate with a few dozen to a few hundred samples that look like those of production."


# --- webhooks --------------------------------------------------------------------------------


class WebhookAddressRefused(RequestError):
    """An address that the farm's settings do not let webhooks reach."""

    code = "webhook.address_refused"
    title = "The webhook's address may not be reached"
    advice = (
        "Give a public https:// address, or ask the farm's operator to name the receiver's network in "
        "ENGINEHOUSE_WEBHOOK_NETWORKS."
    )


# --- provenance ------------------------------------------------------------------------------


class ProvenanceError(RequestError):
    """A bundle that is not what the farm signed."""

    code = "provenance.refused"
    title = "The bundle is not what the farm signed"
    advice = "Do not use it; download the artifact again from its farm and verify that."


class NotSigned(ProvenanceError):
    """A bundle without its provenance."""

    code = "provenance.not_signed"
    title = "The bundle has no signed provenance"
    advice = "Download it again with 'enginehouse artifact get'; what was built before signing must be built anew."


class EnvelopeUnreadable(ProvenanceError):
    """The signed provenance is not a DSSE envelope."""

    code = "provenance.envelope_unreadable"
    title = "The signed provenance cannot be read"


class SignerUnknown(ProvenanceError):
    """No signature of a key that is trusted."""

    code = "provenance.signer_unknown"
    title = "The provenance was signed with a key that is not trusted"
    advice = "Ask the farm that you trust for its keys ('enginehouse artifact keys'); take none from the bundle."


class SignatureInvalid(ProvenanceError):
    """A signature that names a trusted key and is not its own."""

    code = "provenance.signature_invalid"
    title = "The signature does not hold"


class StatementInvalid(ProvenanceError):
    """What was signed is no provenance of a bundle."""

    code = "provenance.statement_invalid"
    title = "What was signed is not the provenance of a bundle"


class ManifestChanged(ProvenanceError):
    """The manifest is missing, or not the one that was signed."""

    code = "provenance.manifest_changed"
    title = "The manifest is not the one that was signed"


class FileChanged(ProvenanceError):
    """A file whose bytes are not those that were signed."""

    code = "provenance.file_changed"
    title = "A file is not the one that was signed"


class FileMissing(ProvenanceError):
    """A file that was signed is not there."""

    code = "provenance.file_missing"
    title = "A file is missing"


class FileExtra(ProvenanceError):
    """A file that nobody signed lies in the bundle."""

    code = "provenance.file_extra"
    title = "A file in the bundle was not signed"
    advice = "Move it out of the bundle's folder; a runtime may load what lies beside a model."


class PublicKeyUnreadable(RequestError):
    """A file that holds no public key of a farm."""

    code = "provenance.key_unreadable"
    title = "The public key cannot be read"
    advice = "Give the keys that 'enginehouse artifact keys' prints: ed25519, as PEM or as JSON."


class CryptographyMissing(RequestError):
    """Signatures cannot be checked without the package 'cryptography'."""

    code = "provenance.cryptography_missing"
    title = "Checking signatures needs the package 'cryptography'"
    advice = "Install it: pip install 'enginehouse[verify]'."


# --- builds ----------------------------------------------------------------------------------


class BuildError(EnginehouseError):
    """A build that ended without an artifact that may be used."""

    code = "build.failed"
    title = "The build failed"
    status = 422
    fault = Fault.TOOLCHAIN
    advice = "Read the build's log: 'enginehouse job logs BUILD'."


class UnsupportedOperator(BuildError):
    """The toolchain does not know an operator of the model."""

    code = "build.unsupported_operator"
    title = "The toolchain cannot convert an operator"
    fault = Fault.MODEL
    advice = "Export the model without the named operator, or choose another backend."


class ConversionFailed(BuildError):
    """The toolchain refused the model while importing or converting it."""

    code = "build.conversion_failed"
    title = "The toolchain could not convert the model"


class CompileFailed(BuildError):
    """The converted model could not be compiled for the hardware."""

    code = "build.compile_failed"
    title = "The converted model could not be compiled"


class CalibrationFailed(BuildError):
    """The toolchain could not derive ranges from the samples."""

    code = "build.calibration_failed"
    title = "Calibration failed"
    advice = "Look at the named tensor's range over the dataset; exclude the node, or choose a higher precision."


class PrecisionNotKept(BuildError):
    """What was built does not have the precision, compatibility or inputs that were asked for."""

    code = "build.precision_not_kept"
    title = "The toolchain built something else than was asked for"
    advice = "The message names the difference; the toolchain's version decides what it can keep."


class IntermediateDisagrees(BuildError):
    """The model that was converted on the way to the toolchain no longer computes what the source model does."""

    code = "build.intermediate_disagrees"
    title = "The intermediate model disagrees with the source model"
    advice = "Export the model to ONNX yourself and compare, or choose a backend that reads the format directly."


class ReferenceFailed(BuildError):
    """The source model itself cannot be run, so nothing can be proven."""

    code = "build.reference_failed"
    title = "The source model does not run"
    fault = Fault.MODEL
    advice = "Run the model with onnxruntime yourself; give example shapes or a dataset when its inputs need them."


class OutputsDisagree(BuildError):
    """The artifact's outputs are too far from the source model's."""

    code = "build.outputs_disagree"
    title = "The artifact's outputs disagree with the source model"
    advice = "Choose a higher precision, or state the accuracy that you accept as a gate."


class MetricFailed(BuildError):
    """The job's own metric gave no number: it raised, took too long, died, or gave NaN."""

    code = "build.metric_failed"
    title = "The job's metric gave no number"
    fault = Fault.REQUEST
    advice = "Correct the line that the message names; metric(outputs, labels) gets what docs/verification.md says."


class GateMissed(BuildError):
    """A gate of the job was not met."""

    code = "build.gate_missed"
    title = "A gate was missed"
    fault = Fault.REQUEST
    advice = "The artifact is kept as evidence; relax the gate or choose another target."


class TimeExceeded(BuildError):
    """The build took longer than its limit."""

    code = "build.time_exceeded"
    title = "The build exceeded its time limit"
    fault = Fault.REQUEST
    advice = "Submit again with a higher limits.time_s."


class MemoryExceeded(BuildError):
    """The build took more memory than its limit."""

    code = "build.memory_exceeded"
    title = "The build exceeded its memory limit"
    fault = Fault.REQUEST
    advice = "Submit again with a higher limits.memory_mb, or require a larger worker."


class BuildCrashed(BuildError):
    """The build's process died by a signal or without an answer."""

    code = "build.crashed"
    title = "The build's process died"
    retried = True
    advice = "The log's last lines say where; a crash that repeats is the toolchain's: choose another version."


# --- the farm --------------------------------------------------------------------------------


class FarmError(EnginehouseError):
    """The farm's own fault: tried again, elsewhere first."""

    code = "farm.failed"
    title = "The farm failed"
    status = 503
    retried = True
    advice = "Nothing to do: the farm tries again."


class WorkerLost(FarmError):
    """A worker vanished while it held the build."""

    code = "farm.worker_lost"
    title = "The worker was lost"


class WorkerDiskFull(FarmError):
    """The disk of a worker was full while it held the build."""

    code = "farm.worker_disk_full"
    title = "The worker's disk is full"
    advice = "The farm tries again; free space on that worker (ENGINEHOUSE_SCRATCH_DIR), which takes nothing meanwhile."


class StoreUnavailable(FarmError):
    """The artifact store does not answer, or answers with wrong bytes."""

    code = "farm.store_unavailable"
    title = "The artifact store does not answer"


class FarmFull(FarmError):
    """The farm has accepted as many builds as it keeps waiting."""

    code = "farm.full"
    title = "The farm has too many builds waiting"
    status = 429
    advice = "Submit again after the time that Retry-After names; the command line does it by itself."


class NotReady(FarmError):
    """A part that the farm needs does not answer."""

    code = "farm.not_ready"
    title = "The farm is not ready"
    advice = "Look at /readyz and at 'enginehouse doctor' for the part that is down."


class SigningKeyMissing(FarmError):
    """The farm has no key to sign provenance with, or one that it may not use."""

    code = "farm.signing_key"
    title = "The farm has no key to sign with"
    advice = (
        "Make one with 'python -m scheduler.keys make FILE' and start every API process with "
        "ENGINEHOUSE_SIGNING_KEY_FILE=FILE."
    )


class FarmUnreachable(FarmError):
    """The client cannot reach the farm."""

    code = "farm.unreachable"
    title = "The farm cannot be reached"
    advice = "Start one with 'enginehouse up', or set ENGINEHOUSE_URL to the farm's address."


class AttemptsExhausted(FarmError):
    """Every attempt that a build may have was lost."""

    code = "farm.attempts_exhausted"
    title = "Every attempt failed"
    retried = False
    advice = (
        "See the attempts' own failures. The build is kept with its evidence in quarantine; once an operator has "
        "released it ('enginehouse admin release BUILD'), 'enginehouse job retry BUILD' builds it again."
    )


class Quarantined(FarmError):
    """The same was asked for before, and ended all its attempts by the farm's fault."""

    code = "farm.quarantined"
    title = "The same build ended its attempts before and is in quarantine"
    status = 409
    retried = False
    advice = (
        "Look at the attempts of the build that the message names; an operator lets it go with 'enginehouse admin "
        "release BUILD'. A worker with another toolchain or pipeline ends the quarantine too."
    )


class AttemptStale(FarmError):
    """A worker speaks for an attempt that is no longer its own (wrong fencing number)."""

    code = "farm.attempt_stale"
    title = "The attempt is no longer current"
    status = 409
    retried = False
    advice = "Drop the work: another attempt holds the build, or the build has ended."


def codes() -> dict[str, type[EnginehouseError]]:
    """All published codes, in the order in which they stand above."""
    found: dict[str, type[EnginehouseError]] = {}

    def walk(cls: type[EnginehouseError]) -> None:
        found.setdefault(cls.code, cls)
        for sub in cls.__subclasses__():
            if sub.__module__ == __name__:
                walk(sub)

    walk(EnginehouseError)
    return found


def from_failure(failure: Failure | Problem) -> EnginehouseError:
    """The exception that a failure (or a problem document) stands for; a code of a newer farm becomes one like it."""
    known = codes().get(failure.code)
    cls = known or (RequestError if failure.fault is Fault.REQUEST else InternalError)
    error = cls(failure.detail, advice=failure.advice or None)
    error.where = dict(failure.where) if known else {"code": failure.code, **failure.where}
    return error
