export { default } from "@omnitrade/edge/worker";
