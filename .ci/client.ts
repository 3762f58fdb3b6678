// A client made from /openapi.json: the compiler knows each service's input.
import createClient from "openapi-fetch";
import type { paths } from "./schema.js";

const api = createClient<paths>({ baseUrl: process.argv[2] });
const wrong = (answer: unknown) => new Error(JSON.stringify(answer));

const submitted = await api.POST("/v1/services/maths.add/jobs", { body: { input: { a: 3, b: 4 }, tags: ["typescript"] } });
if (!submitted.data || typeof submitted.data === "string") throw wrong(submitted.error); // a stream would be text
const sum: number | null | undefined = submitted.data.output;
// @ts-expect-error the output of this service is a number
const words: string | null | undefined = submitted.data.output;
const job = submitted.data.token ?? submitted.data.id;

const done = await api.GET("/v1/jobs/{job}", { params: { path: { job }, query: { wait: 60 } } });
if (done.data?.status !== "succeeded" || done.data.output !== 7) throw wrong(done);

const refused = await api.POST("/v1/services/maths.add/jobs", {
	// @ts-expect-error a word is no number
	body: { input: { a: "three", b: 4 } },
});
if (refused.response.status !== 422 || refused.error?.code !== "invalid-input") throw wrong(refused);

const unknown = await api.GET("/v1/jobs/{job}", { params: { path: { job: "job_unknown" } } });
if (unknown.error?.code !== "not-found") throw wrong(unknown);
